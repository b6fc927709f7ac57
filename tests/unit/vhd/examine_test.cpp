// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/examine.hpp"

#include "tests/unit/vhd/vhd_fixture.hpp"

using namespace blktap;
using namespace blktap::testing;
using namespace blktap::vhd;
using Kind = Extent::Kind;

TEST_CASE("vhd examine: maps what is stored where, through the parents", "[unit][vhd]") {
    const TemporaryDirectory directory;
    const std::string base = make({.path = directory.path("base"), .size_bytes = 16 << 20});
    DriverHarness harness;
    ModelDisk model{32768};
    REQUIRE_FALSE(write_stamp(harness, *harness.open("vhd:" + base), model, {4096, 1}, 1));
    const std::string top = make({.path = directory.path("top"), .size_bytes = 16 << 20, .parent = "base"});
    REQUIRE_FALSE(write_stamp(harness, *harness.open("vhd:" + top), model, {4100, 8}, 2));
    std::vector<Extent> extents;
    std::uint64_t end = 0;
    map_disk(open_vhd(top).chain, [&](std::uint64_t offset, const Extent& extent) {
        CHECK(offset == end);
        end = offset + extent.length;
        extents.push_back(extent);
    });
    CHECK(end == 16 << 20);
    REQUIRE(extents.size() >= 5);
    CHECK(extents[0].kind == Kind::zero);
    CHECK((extents[1].kind == Kind::data && extents[1].layer == 1 && extents[1].length == 4 * 512));
    CHECK((extents[2].kind == Kind::data && extents[2].layer == 0 && extents[2].length == 8 * 512));
    CHECK((extents[3].kind == Kind::data && extents[3].layer == 1));
    CHECK(extents[4].kind == Kind::zero);
}

TEST_CASE("vhd examine: counts blocks, and what lies between them", "[unit][vhd]") {
    const TemporaryDirectory directory;
    const std::string path = make({.path = directory.path("disk"), .size_bytes = 64 << 20});
    {
        DriverHarness harness;
        const auto driver = harness.open("vhd:" + path);
        ModelDisk model{131072};
        for (std::uint64_t block = 0; block < 5; ++block)
            REQUIRE_FALSE(write_stamp(harness, *driver, model, {block * 4096, 8}, block + 1));
    }
    Findings findings = check_vhd(path);
    CHECK(findings.blocks_used == 5);
    CHECK(findings.unused_bytes == 0);
    CHECK(findings.errors == 0);
    FileBytes{path}.put<std::uint32_t>(table_offset + 2 * 4, entry_unused);
    findings = check_vhd(path);
    CHECK(findings.blocks_used == 4);
    CHECK(findings.unused_bytes > 2 << 20);
    CHECK(findings.errors == 0);
}
