// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Layer: one image of a chain, and where in its file an extent of the disk is. Chain: the layers from the one that the
// guest writes down to the last parent.
//
// The whole table of blocks is in memory. For each sector of a bitmap one bit records that it is full; other sectors of
// bitmaps are in the cache, slice by slice. If a slice is missing, the look-up returns which one, and the caller reads
// it and repeats the look-up.
//
// Tested by tests/unit/vhd/layer_test.cpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "drivers/shared/slice_cache.hpp"
#include "drivers/tables/extent.hpp"
#include "drivers/tables/image_file.hpp"
#include "drivers/vhd/metadata/header.hpp"
#include "libblktap/base/mapping.hpp"

namespace blktap::vhd {

using tables::Extent;

/// The table of blocks with the bytes of the file around it, up to boundaries of direct I/O.
class BlockTable {
  public:
    BlockTable() noexcept = default;
    /// `bytes` are the file's from `file_offset` on, and hold the table at `table_offset`.
    BlockTable(Mapping bytes, std::uint64_t file_offset, std::uint64_t table_offset) noexcept
        : bytes_(std::move(bytes)), file_offset_(file_offset), skew_(table_offset - file_offset) {}

    /// The sector at which `block` begins; entry_unused: there is no block.
    std::uint32_t entry(std::uint64_t block) const noexcept;
    void set_entry(std::uint64_t block, std::uint32_t sector) noexcept;
    /// The unit of the file, of `unit_bytes` and aligned to that, which holds the entry of `block`: its index among the
    /// table's units, its offset in the file, and its bytes.
    std::uint64_t unit_of(std::uint64_t block, std::uint64_t unit_bytes) const noexcept {
        return (skew_ + block * 4) / unit_bytes;
    }
    std::uint64_t unit_offset(std::uint64_t unit, std::uint64_t unit_bytes) const noexcept {
        return file_offset_ + unit * unit_bytes;
    }
    std::span<const std::byte> unit_bytes(std::uint64_t unit, std::uint64_t unit_bytes) const noexcept {
        return bytes_.bytes().subspan(unit * unit_bytes, unit_bytes);
    }
    /// Offset of the entry of `block` in its unit.
    std::uint64_t place_in_unit(std::uint64_t block, std::uint64_t unit_bytes) const noexcept {
        return (skew_ + block * 4) % unit_bytes;
    }
    std::span<std::byte> bytes() const noexcept { return bytes_.bytes(); }
    /// Call when the footer's copy at the file's beginning was written: a large unit may hold both copy and table.
    void keep_footer_copy(std::span<const std::byte> footer) noexcept {
        if (file_offset_ == 0 && skew_ >= footer.size()) std::ranges::copy(footer, bytes_.bytes().begin());
    }

  private:
    Mapping bytes_;
    std::uint64_t file_offset_ = 0;
    std::uint64_t skew_ = 0;
};

/// Length of the hole that ends a file without a footer, behind its last block: the last bytes of a file may be
/// mistaken for a footer, so they must not be a guest's data.
inline constexpr std::uint64_t tail_bytes = 4096;

/// For an image that is written, file_end is the end of the used part.
struct Layer final : tables::ImageFile {
    /// Sectors of the disk that one sector of a bitmap maps.
    static constexpr std::uint64_t piece_sectors_max = 4096;

    bool differencing = false;
    bool has_footer = false;  ///< false for a raw parent
    Footer footer;            ///< the valid footer; at the file's end it may be missing
    bool end_footer = false;  ///< a valid footer is at the file's end
    Header header;
    std::uint64_t file_bytes = 0;  ///< the file's length
    BlockTable table;
    LazyArray<std::uint64_t> full;  ///< a bit for each sector of a bitmap: all its bits are set

    std::uint64_t block_bytes() const noexcept { return header.block_bytes; }
    std::uint64_t block_sectors() const noexcept { return header.block_bytes / sector_size_bytes; }
    std::uint64_t block_count() const noexcept { return (size_bytes - 1) / header.block_bytes + 1; }
    /// Length of a bitmap: whole sectors, in front of each block's data.
    std::uint64_t bitmap_bytes() const noexcept { return round_up(block_sectors() / 8, sector_size_bytes); }
    std::uint64_t bitmap_offset(std::uint64_t block) const noexcept {
        return std::uint64_t{table.entry(block)} * sector_size_bytes;
    }
    std::uint64_t data_offset(std::uint64_t block) const noexcept { return bitmap_offset(block) + bitmap_bytes(); }
    bool allocated(std::uint64_t block) const noexcept { return table.entry(block) != entry_unused; }

    /// Unit in which bitmaps are read, cached and written.
    std::uint64_t slice_bytes() const noexcept override { return offset_alignment; }
    std::uint64_t tables_end() const noexcept override { return file_bytes; }
    /// The slice that holds the bit of a sector of a block, and the byte's index in it.
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

/// Returns the least length of the file of a layer that is open for writing, whatever is under way; a shorter file was
/// cut by somebody. file_end may be larger, because it is rounded up before the file is extended.
inline std::uint64_t least_file_bytes(const Layer& layer) noexcept {
    return std::min(layer.file_end, layer.file_bytes);
}

using Chain = std::vector<Layer>;

/// Returns a bit of a bitmap; the most significant bit of a byte comes first.
bool bit_at(std::span<const std::byte> bytes, std::uint64_t index) noexcept;
void set_bits(std::span<std::byte> bytes, std::uint64_t first, std::uint64_t count) noexcept;
/// Returns how many bits from `first` on, at most `count`, are equal to it.
std::uint64_t run_of_bits(std::span<const std::byte> bytes, std::uint64_t first, std::uint64_t count) noexcept;

/// Looks up `length` bytes of the disk at `offset`, whole sectors, in layer `index` of `chain`. Returns their first
/// part that is stored in one way.
Extent look_up(const Chain& chain, std::uint32_t index, SliceCache& cache, std::uint64_t offset,
               std::uint64_t length) noexcept;

/// The same, through all layers. Never unallocated: bytes that no layer has are zeros.
Extent resolve(const Chain& chain, SliceCache& cache, std::uint64_t offset, std::uint64_t length) noexcept;

}  // namespace blktap::vhd
