// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//

#include "libblktap/driver_api/image_driver.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/thrown.hpp"

using namespace blktap;
using blktap::testing::thrown;
using Options = std::map<std::string, std::string>;

namespace {

ImageSpec parse(const std::string& text) {
    return parse_image_spec(text, Access::read_write);
}

}  // namespace

TEST_CASE("image spec: splits format, path and options", "[unit][drivers]") {
    const ImageSpec spec = parse_image_spec("raw:/srv/disk.img?buffered=yes&size=1G", Access::read_only);
    CHECK(spec.format == "raw");
    CHECK(spec.path == "/srv/disk.img");
    CHECK(spec.options == Options{{"buffered", "yes"}, {"size", "1G"}});
    CHECK(spec.access == Access::read_only);
    CHECK(image_name(spec) == "raw:/srv/disk.img");
}

TEST_CASE("image spec: only the first colon ends the format", "[unit][drivers]") {
    CHECK(parse("raw:/dev/disk/by-path/pci-0000:00:1f.2").path == "/dev/disk/by-path/pci-0000:00:1f.2");
}

TEST_CASE("image spec: a question mark not followed by options belongs to the path", "[unit][drivers]") {
    for (const std::string path : {"/a?", "/a?b", "/a?b=1&c", "/a?=1", "/a?B=1", "/a?b=1&&c=2", "/what?/b"}) {
        CAPTURE(path);
        const ImageSpec spec = parse("raw:" + path);
        CHECK(spec.path == path);
        CHECK(spec.options.empty());
    }
}

TEST_CASE("image spec: only the last question mark begins options", "[unit][drivers]") {
    const ImageSpec spec = parse("raw:/a?b=1?buffered=no");
    CHECK(spec.path == "/a?b=1");
    CHECK(spec.options == Options{{"buffered", "no"}});
}

TEST_CASE("image spec: an option may be empty or hold an equals sign", "[unit][drivers]") {
    CHECK(parse("raw:/a?x=&y=1=2").options == Options{{"x", ""}, {"y", "1=2"}});
}

TEST_CASE("image spec: the path may be empty", "[unit][drivers]") {
    CHECK(parse("null:").path.empty());
    CHECK(parse("null:?size=1G").options == Options{{"size", "1G"}});
}

TEST_CASE("image spec: refuses text that names no format, and says how to write it", "[unit][drivers][XSA-258]") {
    for (const std::string text :
         {"", "raw", "/srv/disk.img", ":/srv/disk.img", "/dev/disk/by-path/pci-0000:00", "Raw:/a"}) {
        CAPTURE(text);
        const auto error = thrown([&] { parse(text); });
        CHECK(error.code() == std::errc::invalid_argument);
        CHECK_THAT(error.what(), Catch::Contains("FORMAT:PATH") && Catch::Contains("'" + text + "'"));
    }
}

TEST_CASE("image spec: refuses an option given twice, and names it", "[unit][drivers]") {
    const auto error = thrown([] { parse("raw:/a?size=1G&buffered=yes&size=2G"); });
    CHECK(error.code() == std::errc::invalid_argument);
    CHECK_THAT(error.what(), Catch::Contains("'size'"));
}
