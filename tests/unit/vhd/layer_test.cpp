// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/layer.hpp"

#include <array>

#include "tests/support/catch.hpp"

using namespace blktap;
using namespace blktap::vhd;
using Kind = Extent::Kind;

namespace {

/// Two layers of 16 MiB with blocks of 4 MiB, whose bitmaps have two pieces; the second one is shorter.
struct TwoLayers {
    TwoLayers() : cache(1 << 20, 512) {
        for (const std::uint64_t size : {16ULL << 20, 12ULL << 20}) {
            Layer layer;
            layer.differencing = true;
            layer.size_bytes = size;
            layer.file_end = 64ULL << 20;
            layer.header.block_bytes = 4 << 20;
            layer.header.table_entries = 4;
            layer.table = BlockTable{Mapping::anonymous(4096), 1536, 1536};
            for (std::uint64_t block = 0; block < 4; ++block)
                layer.table.set_entry(block, entry_unused);
            layer.full = LazyArray<std::uint64_t>{1};
            chain.push_back(std::move(layer));
        }
    }
    /// Block `block` of `layer` is at `sector`, and its bits [first, first + count) are set.
    void allocate(std::uint32_t layer, std::uint64_t block, std::uint32_t sector, std::uint64_t first = 0,
                  std::uint64_t count = 0) {
        chain[layer].table.set_entry(block, sector);
        for (std::uint64_t piece = 0; piece < 2; ++piece) {
            const std::uint32_t slot = cache.insert({layer, (sector + piece) * 512ULL});
            std::ranges::fill(cache.bytes(slot), std::byte{0});
            cache.loaded(slot);
        }
        for (std::uint64_t sector_in_block = first; sector_in_block < first + count; ++sector_in_block) {
            const std::uint32_t slot = cache.find({layer, (sector + sector_in_block / 4096) * 512ULL});
            set_bits(cache.bytes(slot), sector_in_block % 4096, 1);
        }
    }
    Extent at(std::uint64_t offset, std::uint64_t length) { return resolve(chain, cache, offset, length); }

    Chain chain;
    SliceCache cache;
};

}  // namespace

TEST_CASE("vhd bitmap: the first sector is the highest bit", "[unit][vhd]") {
    std::array<std::byte, 4> bits{};
    set_bits(bits, 0, 1);
    set_bits(bits, 10, 13);
    CHECK(bits == std::array{std::byte{0x80}, std::byte{0x3f}, std::byte{0xfe}, std::byte{0}});
    CHECK(bit_at(bits, 0));
    CHECK_FALSE(bit_at(bits, 1));
    CHECK(run_of_bits(bits, 0, 32) == 1);
    CHECK(run_of_bits(bits, 1, 31) == 9);
    CHECK(run_of_bits(bits, 10, 22) == 13);
    CHECK(run_of_bits(bits, 10, 5) == 5);
    CHECK(run_of_bits(bits, 23, 9) == 9);
}

TEST_CASE("vhd layer: what no layer has is zeros, also behind the end of a parent", "[unit][vhd]") {
    TwoLayers layers;
    layers.allocate(1, 2, 100, 0, 8192);
    layers.chain[1].size_bytes = 10ULL << 20;
    CHECK(layers.at(0, 1 << 20).kind == Kind::zero);
    CHECK(layers.at(0, 32 << 20).length == 4 << 20);
    const Extent data = layers.at(9 << 20, 2 << 20);
    CHECK(data.kind == Kind::data);
    CHECK(data.length == 1 << 20);
    CHECK(layers.at(10 << 20, 2 << 20).kind == Kind::zero);
}

TEST_CASE("vhd layer: sectors whose bits are set are this layer's, others its parent's", "[unit][vhd]") {
    TwoLayers layers;
    layers.allocate(0, 1, 1000, 4000, 200);  // across the two pieces of the bitmap
    layers.allocate(1, 1, 5000, 0, 8192);
    const std::uint64_t block = 4 << 20;
    const Extent below = layers.at(block, 4 << 20);
    CHECK(below.layer == 1);
    CHECK(below.host_offset == 5002 * 512);
    CHECK(below.length == 4000 * 512);
    const Extent own = layers.at(block + 4010 * 512, 1000 * 512);
    CHECK(own.layer == 0);
    CHECK(own.host_offset == (1002 + 4010) * 512);
    CHECK(own.length == 190 * 512);
}

TEST_CASE("vhd layer: a bitmap that is set whole is not looked at again", "[unit][vhd]") {
    TwoLayers layers;
    layers.allocate(0, 3, 2000, 0, 8192);
    CHECK(layers.at(12 << 20, 4 << 20).length == 4 << 20);
    CHECK(layers.chain[0].is_full(6));
    CHECK(layers.chain[0].is_full(7));
    layers.cache.forget(layers.cache.find({0, 2000 * 512}));
    CHECK(layers.at(12 << 20, 4096).kind == Kind::data);
}

TEST_CASE("vhd layer: a piece of a bitmap that is not here is asked for", "[unit][vhd]") {
    TwoLayers layers;
    layers.allocate(0, 0, 3000, 0, 4000);
    layers.cache.forget(layers.cache.find({0, 3001 * 512}));
    CHECK(layers.at(0, 4 << 20).kind == Kind::data);
    const Extent missing = layers.at(4096 * 512, 512);
    CHECK(missing.kind == Kind::missing);
    CHECK(missing.host_offset == 3001 * 512);
}

TEST_CASE("vhd layer: a block outside of the file is no block", "[unit][vhd]") {
    TwoLayers layers;
    layers.allocate(0, 0, 0xfffffffe);
    CHECK(layers.at(0, 512).kind == Kind::invalid);
}
