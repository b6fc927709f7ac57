// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/allocator.hpp"

#include "tests/support/catch.hpp"

using namespace blktap;
using namespace blktap::vhd;

namespace {

Layer layer_of(std::uint64_t file_end, std::uint64_t block_bytes = 2 << 20) {
    Layer layer;
    layer.header.block_bytes = block_bytes;
    layer.header.table_entries = 100;
    layer.file_end = file_end;
    return layer;
}

}  // namespace

TEST_CASE("vhd allocator: blocks lie one behind the other, their data aligned", "[unit][vhd]") {
    const Layer layer = layer_of(2048);
    Allocator allocator{layer};
    CHECK(allocator.reserved(7) == 0);
    CHECK(allocator.reserve(7).value() == 4096 - 512);
    CHECK(allocator.reserve(3).value() == 4096 + (2 << 20) + 4096 - 512);
    CHECK(allocator.reserve(7).value() == 4096 - 512);
    CHECK(allocator.reserved(7) == 4096 - 512);
    allocator.forget(7);
    CHECK(allocator.reserved(7) == 0);
    CHECK(allocator.take(5000).value() == 4096 + 2 * ((2 << 20) + 4096) - 4096);
    CHECK(allocator.reserve(8).value() == 2 * ((2 << 20) + 4096) + 8192 + 4096 - 512);
}

TEST_CASE("vhd allocator: what the table cannot name is not given away", "[unit][vhd]") {
    const std::uint64_t end = 0xffffffffULL * 512;
    const Layer layer = layer_of(end - (4 << 20));
    Allocator allocator{layer};
    CHECK(allocator.reserve(0).has_value());
    CHECK(allocator.reserve(1).error() == std::errc::file_too_large);
    CHECK(allocator.reserved(1) == 0);
    CHECK(allocator.take(4 << 20).error() == std::errc::file_too_large);
    CHECK(allocator.take(~std::uint64_t{0}).error() == std::errc::file_too_large);
}

TEST_CASE("vhd allocator: all of the largest disk fits", "[unit][vhd]") {
    const std::uint64_t blocks = disk_bytes_max / (2 << 20);
    CHECK(Allocator::fits(blocks, 2 << 20, 1536 + blocks * 4));
    CHECK_FALSE(Allocator::fits(blocks * 512, 4096, 1536));
}

TEST_CASE("vhd allocator: a longer table keeps what was given away", "[unit][vhd]") {
    const Layer layer = layer_of(2048);
    Allocator allocator{layer};
    const std::uint64_t place = allocator.reserve(99).value();
    allocator.use(Allocator::longer(1000));
    CHECK(allocator.reserved(99) == place);
    CHECK(allocator.reserve(999).value() > place);
}
