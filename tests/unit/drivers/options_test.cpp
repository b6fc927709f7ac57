// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/shared/options.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/thrown.hpp"

using namespace blktap;
using blktap::testing::thrown;

namespace {

ImageSpec spec_with(const std::string& name, const std::string& value) {
    return {"raw", "/a", Access::read_write, {{name, value}}};
}

}  // namespace

TEST_CASE("options: a size has a unit of 1024, or none", "[unit][drivers]") {
    CHECK(parse_size("512") == 512U);
    CHECK(parse_size("64K") == 65536U);
    CHECK(parse_size("10M") == 10U << 20);
    CHECK(parse_size("1G") == 1ULL << 30);
    CHECK(parse_size("2T") == 2ULL << 40);
    CHECK(parse_size("18446744073709551615") == UINT64_MAX);
}

TEST_CASE("options: what is not a size, or beyond 64 bits, is none", "[unit][drivers]") {
    for (const std::string text :
         {"", "K", "-1", "+1", " 1", "1 ", "1k", "1KB", "0x10", "1.5G", "16777216T", "18446744073709551616"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_size(text).has_value());
    }
}

TEST_CASE("options: a disk's size is whole sectors and not 0", "[unit][drivers]") {
    for (const std::string value : {"0", "511", "1000", "many"}) {
        const ImageSpec spec = spec_with("size", value);
        const auto error = thrown([&] { OptionReader{spec}.take_size("size", 0); });
        CHECK(error.code() == std::errc::invalid_argument);
        CHECK_THAT(error.what(), Catch::Contains("size=" + value));
    }
}

TEST_CASE("options: a flag is yes or no", "[unit][drivers]") {
    const ImageSpec yes = spec_with("buffered", "yes");
    const ImageSpec no = spec_with("buffered", "no");
    const ImageSpec other = spec_with("buffered", "true");
    CHECK(OptionReader{yes}.take_flag("buffered", false));
    CHECK_FALSE(OptionReader{no}.take_flag("buffered", true));
    CHECK_THAT(thrown([&] { OptionReader{other}.take_flag("buffered", false); }).what(),
               Catch::Contains("buffered=true"));
}

TEST_CASE("options: an absent option has its default", "[unit][drivers]") {
    const ImageSpec spec = spec_with("other", "1");
    OptionReader options{spec};
    CHECK(options.take_flag("buffered", true));
    CHECK(options.take_size("size", 4096) == 4096);
}

TEST_CASE("options: one that nobody takes is refused by name", "[unit][drivers]") {
    const ImageSpec spec = spec_with("bufferd", "yes");
    OptionReader options{spec};
    options.take_flag("buffered", false);
    CHECK_THAT(thrown([&] { options.finish(); }).what(), Catch::Contains("raw:/a") && Catch::Contains("'bufferd'"));
}
