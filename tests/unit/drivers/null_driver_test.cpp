// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/null/null_driver.hpp"

#include <array>

#include "tests/support/images/driver_harness.hpp"
#include "tests/support/thrown.hpp"

using namespace blktap;
using namespace blktap::testing;

TEST_CASE("null driver: is 1 GiB unless a size is given", "[unit][drivers]") {
    DriverHarness harness;
    CHECK(harness.open("null:")->info().size_sectors == (1ULL << 30) / 512);
    CHECK(harness.open("null:?size=512")->info().size_sectors == 1);
    CHECK(harness.open("null:", Access::read_only)->info().read_only);
}

TEST_CASE("null driver: refuses a path and unknown options", "[unit][drivers]") {
    DriverHarness harness;
    CHECK_THAT(thrown([&] { harness.open("null:/srv/disk.img"); }).what(), Catch::Contains("/srv/disk.img"));
    CHECK_THAT(thrown([&] { harness.open("null:?buffered=yes"); }).what(), Catch::Contains("'buffered'"));
}

TEST_CASE("null driver: answers everything before start() returns", "[unit][drivers]") {
    DriverHarness harness;
    const auto driver = harness.open("null:");
    std::array<std::byte, 1024> memory{};
    using Kind = ImageRequest::Kind;
    for (const Kind kind : {Kind::read, Kind::write, Kind::flush, Kind::discard}) {
        const bool has_data = kind == Kind::read || kind == Kind::write;
        TestRequest request{kind, {0, kind == Kind::flush ? 0U : 2U}, std::span{memory}.first(has_data ? 1024 : 0)};
        request.start_on(*driver);
        CHECK(request.answered);
        CHECK_FALSE(request.error);
    }
}

TEST_CASE("null driver: a read leaves nothing of what the memory held", "[unit][drivers]") {
    DriverHarness harness;
    const auto driver = harness.open("null:");
    std::array<std::byte, 1536> memory;
    memory.fill(std::byte{0x5a});
    TestRequest request{
        ImageRequest::Kind::read, {4, 3}, std::vector<iovec>{{memory.data(), 512}, {memory.data() + 512, 1024}}};
    REQUIRE_FALSE(harness.run(*driver, request));
    CHECK(std::all_of(memory.begin(), memory.end(), [](std::byte byte) { return byte == std::byte{0}; }));
}
