// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/client/image_target.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/thrown.hpp"

namespace blktap {
namespace {

using ipc::ImageArguments;
using testing::thrown;

std::string refusal(const std::string& params) {
    INFO(params);
    const auto error = thrown([&] { image_of_params(params, "w"); });
    CHECK(error.code() == std::errc::invalid_argument);
    return error.what();
}

}  // namespace

TEST_CASE("image target: a plain path is a raw image, and nothing in it is an option", "[unit][control]") {
    CHECK(image_of_params("/srv/a.img", "w") == ImageArguments{"raw", "/srv/a.img", false, {}});
    CHECK(image_of_params("/srv/a?size=1G", "w") == ImageArguments{"raw", "/srv/a?size=1G", false, {}});
    CHECK(image_of_params("/srv/100%/a:b c", "w") == ImageArguments{"raw", "/srv/100%/a:b c", false, {}});
}

TEST_CASE("image target: target= names the format and options", "[unit][control]") {
    CHECK(image_of_params("raw:/srv/a.img", "w") == ImageArguments{"raw", "/srv/a.img", false, {}});
    CHECK(image_of_params("raw:/srv/a.img?size=20G", "w") ==
          ImageArguments{"raw", "/srv/a.img", false, {{"size", "20G"}}});
    CHECK(image_of_params("qcow2:/srv/a:b", "w") == ImageArguments{"qcow2", "/srv/a:b", false, {}});
    CHECK(image_of_params("null:?size=1G", "w") == ImageArguments{"null", "", false, {{"size", "1G"}}});
}

TEST_CASE("image target: libxl's own aio: is taken away once", "[unit][control]") {
    CHECK(image_of_params("aio:/srv/a.img", "w") == ImageArguments{"raw", "/srv/a.img", false, {}});
    CHECK(image_of_params("aio:/srv/a?size=1G", "w") == ImageArguments{"raw", "/srv/a?size=1G", false, {}});
    CHECK(image_of_params("aio:qcow2:/srv/a", "w") == ImageArguments{"qcow2", "/srv/a", false, {}});
    CHECK(image_of_params("aio:raw:/srv/a?size=1G", "w") == ImageArguments{"raw", "/srv/a", false, {{"size", "1G"}}});
    CHECK(image_of_params("aio:null:?size=1G", "w") == ImageArguments{"null", "", false, {{"size", "1G"}}});
    CHECK(image_of_params("aio:aio:/srv/a", "w") == ImageArguments{"raw", "/srv/a", false, {}});
    CHECK_THAT(refusal("aio:aio:aio:/srv/a"), Catch::Contains("must begin with '/'"));
    CHECK(image_of_params("vhd:/srv/a.vhd", "w").format == "vhd");
}

TEST_CASE("image target: only a mode with a w may write", "[unit][control]") {
    for (const char* mode : {"w", "rw", "w!"})
        CHECK_FALSE(image_of_params("/a", mode).read_only);
    for (const char* mode : {"r", "ro", ""})
        CHECK(image_of_params("/a", mode).read_only);
    CHECK(image_of_params("raw:/a", "r").read_only);
    CHECK(image_of_params("aio:/a", "r").read_only);
}

TEST_CASE("image target: what is no image is refused in words", "[unit][control]") {
    CHECK_THAT(refusal(""), Catch::StartsWith("the disk has no target; write target=FORMAT:/path"));
    CHECK_THAT(refusal("aio:"), Catch::Contains("no format is named"));
    CHECK_THAT(refusal("vg/lv"), Catch::Contains("no format is named"));
    CHECK_THAT(refusal("raw:a.img"), Catch::StartsWith("image 'raw:a.img': the path must begin with '/'"));
    CHECK_THAT(refusal("RAW:/a"), Catch::Contains("no format is named"));
    CHECK_THAT(refusal("raw:/a?size=1&size=2"), Catch::Contains("given twice"));
}

TEST_CASE("image target: block-tap names files without options", "[unit][control]") {
    CHECK(image_of_tap("aio:/srv/a?size=1G", false) == ImageArguments{"raw", "/srv/a?size=1G", false, {}});
    CHECK(image_of_tap("vhd:/srv/a:b", true) == ImageArguments{"vhd", "/srv/a:b", true, {}});
    for (const char* text : {"", "aio", ":/a", "aio:", "aio:a"})
        CHECK(thrown([&] { image_of_tap(text, false); }).code() == std::errc::invalid_argument);
    CHECK(tap_type("raw") == "aio");
    CHECK(tap_type("vhd") == "vhd");
}

}  // namespace blktap
