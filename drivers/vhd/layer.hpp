// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Layer: one image of a chain, and where in its file a piece of the disk is. Chain: the layers from the one that the
// guest writes down to the last parent.
//
// The table of blocks is in memory, whole. Of each block's bitmap it is remembered when all of it is set; other bitmaps
// are in the cache, piece by piece. Where such a piece is missing the answer of a look-up says which, and whoever asked
// reads it and asks again.
//
// Tested by tests/unit/vhd/layer_test.cpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "drivers/shared/slice_cache.hpp"
#include "drivers/tables/extent.hpp"
#include "drivers/tables/image_file.hpp"
#include "drivers/vhd/header.hpp"
#include "libblktap/base/mapping.hpp"

namespace blktap::vhd {

using tables::Extent;

/// The table of blocks, as it is in the file, with what surrounds it up to the boundaries of direct I/O.
class BlockTable {
  public:
    BlockTable() noexcept = default;
    /// `bytes` of the file from `file_offset` on hold the table at `table_offset`.
    BlockTable(Mapping bytes, std::uint64_t file_offset, std::uint64_t table_offset) noexcept
        : bytes_(std::move(bytes)), file_offset_(file_offset), skew_(table_offset - file_offset) {}

    /// In sectors; entry_unused: there is none.
    std::uint32_t entry(std::uint64_t block) const noexcept;
    void set_entry(std::uint64_t block, std::uint32_t sector) noexcept;
    /// The unit of the file, `unit_bytes` long and so aligned, that the entry of `block` is in: its number from the
    /// first one on, where it is, and what it holds.
    std::uint64_t unit_of(std::uint64_t block, std::uint64_t unit_bytes) const noexcept {
        return (skew_ + block * 4) / unit_bytes;
    }
    std::uint64_t unit_offset(std::uint64_t unit, std::uint64_t unit_bytes) const noexcept {
        return file_offset_ + unit * unit_bytes;
    }
    std::span<const std::byte> unit_bytes(std::uint64_t unit, std::uint64_t unit_bytes) const noexcept {
        return bytes_.bytes().subspan(unit * unit_bytes, unit_bytes);
    }
    /// Where the entry of `block` is in its unit.
    std::uint64_t place_in_unit(std::uint64_t block, std::uint64_t unit_bytes) const noexcept {
        return (skew_ + block * 4) % unit_bytes;
    }
    std::span<std::byte> bytes() const noexcept { return bytes_.bytes(); }
    /// The footer's copy at the file's beginning was written: where large units are written, one may hold both.
    void keep_footer_copy(std::span<const std::byte> footer) noexcept {
        if (file_offset_ == 0 && skew_ >= footer.size()) std::ranges::copy(footer, bytes_.bytes().begin());
    }

  private:
    Mapping bytes_;
    std::uint64_t file_offset_ = 0;
    std::uint64_t skew_ = 0;
};

/// A file that is written to and has no footer at its end goes on so far behind its last block, with a hole: what ends
/// a file may be taken for the footer, and must not be a guest's data.
inline constexpr std::uint64_t tail_bytes = 4096;

/// Of an image that is written, file_end is the end of what is in use.
struct Layer final : tables::ImageFile {
    /// Sectors of the disk that one sector of a bitmap tells of.
    static constexpr std::uint64_t piece_sectors_max = 4096;

    bool differencing = false;
    bool has_footer = false;  ///< not a raw parent
    Footer footer;            ///< as it is to be; at the file's end it may be missing
    bool end_footer = false;  ///< it is at the file's end, whole
    Header header;
    std::uint64_t file_bytes = 0;  ///< the file's length
    BlockTable table;
    LazyArray<std::uint64_t> full;  ///< a bit for each piece of a bitmap: all of it is set

    std::uint64_t block_bytes() const noexcept { return header.block_bytes; }
    std::uint64_t block_sectors() const noexcept { return header.block_bytes / sector_size_bytes; }
    std::uint64_t block_count() const noexcept { return (size_bytes - 1) / header.block_bytes + 1; }
    /// Whole sectors, in front of each block's data.
    std::uint64_t bitmap_bytes() const noexcept { return round_up(block_sectors() / 8, sector_size_bytes); }
    std::uint64_t bitmap_offset(std::uint64_t block) const noexcept {
        return std::uint64_t{table.entry(block)} * sector_size_bytes;
    }
    std::uint64_t data_offset(std::uint64_t block) const noexcept { return bitmap_offset(block) + bitmap_bytes(); }
    bool allocated(std::uint64_t block) const noexcept { return table.entry(block) != entry_unused; }

    /// Pieces in which bitmaps are read, cached and written.
    std::uint64_t slice_bytes() const noexcept override { return offset_alignment; }
    std::uint64_t tables_end() const noexcept override { return file_bytes; }
    /// The slice with the bit of a sector of a block, and the byte in it.
    std::uint64_t slice_of(std::uint64_t block, std::uint64_t sector) const noexcept {
        return round_down(bitmap_offset(block) + sector / 8, slice_bytes());
    }
    std::uint64_t place_in_slice(std::uint64_t block, std::uint64_t sector) const noexcept {
        return (bitmap_offset(block) + sector / 8) & (slice_bytes() - 1);
    }
    std::uint64_t piece_of(std::uint64_t block, std::uint64_t sector) const noexcept {
        return block * (bitmap_bytes() / sector_size_bytes) + sector / piece_sectors_max;
    }
    std::uint64_t pieces() const noexcept { return block_count() * (bitmap_bytes() / sector_size_bytes); }
    bool is_full(std::uint64_t piece) const noexcept { return (full[piece / 64] >> piece % 64 & 1) != 0; }
    void set_full(std::uint64_t piece) const noexcept { full[piece / 64] |= 1ULL << piece % 64; }
};

/// The file of a layer that is open for writing has at least so many bytes, whatever is under way, unless somebody cut
/// it. Its end may have been rounded up and not been made yet.
inline std::uint64_t least_file_bytes(const Layer& layer) noexcept {
    return std::min(layer.file_end, layer.file_bytes);
}

using Chain = std::vector<Layer>;

/// Bits of a bitmap, the most significant of a byte first.
bool bit_at(std::span<const std::byte> bytes, std::uint64_t index) noexcept;
void set_bits(std::span<std::byte> bytes, std::uint64_t first, std::uint64_t count) noexcept;
/// How many bits from `first` on, at most `count`, are like it.
std::uint64_t run_of_bits(std::span<const std::byte> bytes, std::uint64_t first, std::uint64_t count) noexcept;

/// Where `length` bytes of the disk at `offset`, whole sectors, are in layer `index` of `chain`: the beginning of them
/// that is stored in one way.
Extent look_up(const Chain& chain, std::uint32_t index, SliceCache& cache, std::uint64_t offset,
               std::uint64_t length) noexcept;

/// The same, through all layers. Never unallocated: what no layer has is zeros.
Extent resolve(const Chain& chain, SliceCache& cache, std::uint64_t offset, std::uint64_t length) noexcept;

}  // namespace blktap::vhd
