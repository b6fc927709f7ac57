// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/replay/script/script_data.hpp"

#include <array>
#include <cstring>

#include "tests/support/catch.hpp"
#include "tests/unit/replay/backend/machine.hpp"

using namespace blktap;
using namespace blktap::replay;

namespace {

struct Placed {
    explicit Placed(const std::string& line) : script(parse_script("test", line)) {}
    Machine machine{};
    Script script;
    Frontend frontend{Machine::frontend()};
    ScriptPages pages{frontend, script};
    PlacedRequest request{script.statements.at(0).requests.at(0), pages};
};

}  // namespace

TEST_CASE("pattern: names itself and its sector", "[unit][replay]") {
    std::array<std::byte, sector_size_bytes> sector{};
    CHECK(describe_pattern(sector) == "zeros");
    write_pattern(sector, "apple", 77);
    CHECK(describe_pattern(sector) == "apple of sector 77");
    sector[100] ^= std::byte{1};
    CHECK_THAT(describe_pattern(sector), Catch::StartsWith("bytes 61 70 70 6c 65 20 20 20 4d 00"));
    write_pattern(sector, "zeros", 77);
    CHECK(describe_pattern(sector) == "zeros");
}

TEST_CASE("placed request: has pages of its own, and lies where the script says so", "[unit][replay]") {
    const Placed placed("write sector=5 nr_segments=200 segments=6-7,0-0@0x1234,7-0,1-1@read-only fill=A");
    const ring::RawRequest& raw = placed.request.raw();
    CHECK(raw.sector_number == 5);
    CHECK(raw.segment_count == 200);
    CHECK(raw.segments[0].first_sector == 6);
    CHECK(raw.segments[1].gref == 0x1234);
    CHECK(raw.segments[2].last_sector == 0);
    CHECK(raw.segments[0].gref != raw.segments[2].gref);
    CHECK(raw.segments[3].gref != raw.segments[2].gref);
    CHECK(raw.segments[4].gref == 0);
}

TEST_CASE("placed request: more segments than a slot holds are left out of it", "[unit][replay]") {
    const Placed placed("write segments=0-7*12");
    CHECK(placed.request.raw().segment_count == 12);
    CHECK(placed.request.raw().segments[10].gref != 0);
}

TEST_CASE("placed request: the descriptors of an indirect one are in granted pages", "[unit][replay]") {
    const auto refs_of = [](const std::string& line) { return Placed(line).request.raw().indirect_refs; };
    const auto one = refs_of("indirect inner=read segments=0-7*20");
    CHECK(one[0] != 0);
    CHECK(one[1] == 0);
    const auto two = refs_of("indirect inner=read segments=0-7*600");
    CHECK(two[1] != 0);
    CHECK(two[2] == 0);
    const auto bad = refs_of("indirect inner=read segments=0-7*20 refs=7,8");
    CHECK(bad[0] == 7);
    CHECK(bad[1] == 8);
}

TEST_CASE("placed request: a page that a read left alone does not pass for data", "[unit][replay]") {
    const Placed placed("read sector=9 segments=2-3 expect=A");
    const auto wrong = placed.request.check_data();
    REQUIRE(wrong);
    CHECK(*wrong == "expected A of sector 9, got poison: the page is untouched");
}
