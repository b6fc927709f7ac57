// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/layer.hpp"

#include <algorithm>

#include "drivers/shared/bytes.hpp"
#include "drivers/tables/resolve.hpp"

namespace blktap::vhd {
namespace {

using Kind = Extent::Kind;

/// A run of sectors of one block whose bits are alike.
struct Run {
    enum class Is : std::uint8_t { set, clear, missing };
    Is is = Is::missing;
    std::uint64_t sectors = 0;
    std::uint64_t slice = 0;
};

Run run_in_piece(const Layer& layer, std::uint32_t index, SliceCache& cache, std::uint64_t block, std::uint64_t sector,
                 std::uint64_t count) noexcept {
    const std::uint64_t piece_sectors = std::min(Layer::piece_sectors_max, layer.block_sectors());
    const std::uint64_t in_piece = sector % piece_sectors;
    count = std::min(count, piece_sectors - in_piece);
    const std::uint64_t piece = layer.piece_of(block, sector);
    if (layer.is_full(piece)) return {Run::Is::set, count, 0};
    const std::uint64_t at = layer.slice_of(block, sector);
    const std::uint32_t slot = cache.find({index, at});
    if (slot == SliceCache::none || !cache.ready(slot)) return {Run::Is::missing, 0, at};
    const auto bits = cache.bytes(slot).subspan(layer.place_in_slice(block, sector - in_piece), piece_sectors / 8);
    if (!bit_at(bits, in_piece)) return {Run::Is::clear, run_of_bits(bits, in_piece, count), 0};
    if (bit_at(bits, 0) && run_of_bits(bits, 0, piece_sectors) == piece_sectors) layer.set_full(piece);
    return {Run::Is::set, run_of_bits(bits, in_piece, count), 0};
}

Extent look_into_block(const Layer& layer, std::uint32_t index, SliceCache& cache, std::uint64_t block,
                       std::uint64_t skip, std::uint64_t length) noexcept {
    const std::uint64_t first = skip / sector_size_bytes;
    const std::uint64_t count = length / sector_size_bytes;
    const Run run = run_in_piece(layer, index, cache, block, first, count);
    if (run.is == Run::Is::missing) return {Kind::missing, length, 0, run.slice};
    std::uint64_t done = run.sectors;
    while (done < count) {
        const Run next = run_in_piece(layer, index, cache, block, first + done, count - done);
        if (next.is != run.is) break;
        done += next.sectors;
    }
    if (run.is == Run::Is::clear) return {Kind::unallocated, done * sector_size_bytes, 0, 0};
    return tables::cut_at_file_end({Kind::data, done * sector_size_bytes, 0, layer.data_offset(block) + skip},
                                   layer.file_end);
}

}  // namespace

std::uint32_t BlockTable::entry(std::uint64_t block) const noexcept {
    return load<std::uint32_t>(bytes_.bytes(), skew_ + block * 4);
}

void BlockTable::set_entry(std::uint64_t block, std::uint32_t sector) noexcept {
    store<std::uint32_t>(bytes_.bytes(), skew_ + block * 4, sector);
}

bool bit_at(std::span<const std::byte> bytes, std::uint64_t index) noexcept {
    return (static_cast<unsigned>(bytes[index / 8]) >> (7 - index % 8) & 1) != 0;
}

void set_bits(std::span<std::byte> bytes, std::uint64_t first, std::uint64_t count) noexcept {
    for (; count > 0; ++first, --count) {
        if (first % 8 == 0 && count >= 8) {
            bytes[first / 8] = std::byte{0xff};
            first += 7;
            count -= 7;
        } else {
            bytes[first / 8] |= std::byte{0x80} >> first % 8;
        }
    }
}

std::uint64_t run_of_bits(std::span<const std::byte> bytes, std::uint64_t first, std::uint64_t count) noexcept {
    const bool value = bit_at(bytes, first);
    const std::byte whole{value ? static_cast<unsigned char>(0xff) : static_cast<unsigned char>(0)};
    std::uint64_t done = 1;
    while (done < count) {
        const std::uint64_t at = first + done;
        if (at % 8 == 0 && count - done >= 8 && bytes[at / 8] == whole) {
            done += 8;
        } else if (bit_at(bytes, at) == value) {
            ++done;
        } else {
            break;
        }
    }
    return done;
}

Extent look_up(const Chain& chain, std::uint32_t index, SliceCache& cache, std::uint64_t offset,
               std::uint64_t length) noexcept {
    const Layer& layer = chain[index];
    length = std::min(length, layer.size_bytes - offset);
    if (layer.raw) return tables::cut_at_file_end({Kind::data, length, 0, offset}, layer.file_end);
    const std::uint64_t block = offset / layer.block_bytes();
    const std::uint64_t skip = offset & (layer.block_bytes() - 1);
    length = std::min(length, layer.block_bytes() - skip);
    if (!layer.allocated(block)) return {Kind::unallocated, length, 0, 0};
    if (layer.data_offset(block) > layer.file_end) return {Kind::invalid, length, 0, 0};
    return look_into_block(layer, index, cache, block, skip, length);
}

Extent resolve(const Chain& chain, SliceCache& cache, std::uint64_t offset, std::uint64_t length) noexcept {
    const auto ask = [&](std::uint32_t layer, std::uint64_t wanted) {
        return look_up(chain, layer, cache, offset, wanted);
    };
    return tables::resolve_in_chain(chain, 0, offset, length, ask);
}

}  // namespace blktap::vhd
