// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/replay/extent.hpp"

#include "tests/support/catch.hpp"

using namespace blktap;
using namespace blktap::replay;

TEST_CASE("extent: a request's last segment ends with its last sector", "[unit][replay]") {
    CHECK(segments_for(1).size() == 1);
    CHECK(segments_for(1).back().last == 0);
    CHECK(segments_for(8).size() == 1);
    CHECK(segments_for(8).back().last == 7);
    CHECK(segments_for(12).size() == 2);
    CHECK(segments_for(12).back().last == 3);
    CHECK(segments_for(2048).size() == 256);
}

TEST_CASE("extent: a range is two numbers, or one that reaches to the end", "[unit][replay]") {
    CHECK(parse_range("8:16") == SectorRange{8, 16});
    CHECK(parse_range("8:"));
    for (const char* text : {"", "8", ":", ":8", "8:0", "8:x", "-1:8", "8:1:1", "18446744073709551616:1"}) {
        CAPTURE(text);
        CHECK(!parse_range(text));
    }
}

TEST_CASE("extent: a range must be inside the disk", "[unit][replay]") {
    ipc::DeviceDescription device;
    device.size_sectors = 100;
    CHECK(resolve_range(std::nullopt, device) == SectorRange{0, 100});
    CHECK(resolve_range(parse_range("40:"), device) == SectorRange{40, 60});
    CHECK(resolve_range(parse_range("40:60"), device) == SectorRange{40, 60});
    CHECK_THROWS(resolve_range(parse_range("40:61"), device));
    CHECK_THROWS(resolve_range(parse_range("100:"), device));
    CHECK_THROWS(resolve_range(parse_range("18446744073709551615:2"), device));
}

TEST_CASE("extent: requests are indirect when they must be, or when asked to be", "[unit][replay]") {
    ipc::DeviceDescription device;
    device.indirect_segments_max = 256;
    CHECK(!choose_indirect(Indirect::automatic, 11, device));
    CHECK(choose_indirect(Indirect::automatic, 12, device));
    CHECK(choose_indirect(Indirect::always, 1, device));
    CHECK(!choose_indirect(Indirect::never, 11, device));
    CHECK_THROWS(choose_indirect(Indirect::never, 12, device));
    device.indirect_segments_max = 32;
    CHECK_THROWS_WITH(choose_indirect(Indirect::automatic, 33, device), Catch::Contains("at most 32"));
}
