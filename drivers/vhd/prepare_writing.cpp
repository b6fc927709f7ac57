// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Opening an image for writing: finds out what every part of its file holds.
#include <algorithm>
#include <cstring>
#include <unistd.h>

#include "drivers/shared/bytes.hpp"
#include "drivers/vhd/open_image.hpp"
#include "drivers/vhd/table_io.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::vhd {
namespace {

[[noreturn]] void refuse_damaged(const Layer& layer, const std::string& reason) {
    throw_reason(Errc::image_invalid,
                 layer.name + ": " + reason + "; not opened for writing (tap-ctl image check tells more)");
}

/// A part of the file, [begin, end) in bytes.
struct Part {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
};

/// Adds XenServer's map of the full blocks, behind the table. The map stays valid: this driver never clears a bit.
void add_batmap(const Layer& layer, std::vector<Part>& parts) {
    const std::uint64_t offset = round_up(layer.header.table_offset + layer.header.table_bytes(), sector_size_bytes);
    if (layer.footer.creator() != "tap" || offset > layer.file_bytes ||
        layer.file_bytes - offset < 2 * sector_size_bytes) {
        return;
    }
    const auto bytes = read_bytes(layer, offset, sector_size_bytes);
    if (std::memcmp(bytes.data(), "tdbatmap", 8) != 0) return;
    parts.push_back({offset, offset + sector_size_bytes});
    const auto map = load<std::uint64_t>(bytes, 8);
    const std::uint64_t length = load<std::uint32_t>(bytes, 16) * std::uint64_t{sector_size_bytes};
    if (map <= layer.file_bytes && length <= layer.file_bytes - map) parts.push_back({map, map + length});
}

void add_description(const Layer& layer, std::vector<Part>& parts) {
    const Header& header = layer.header;
    parts.push_back({0, footer_bytes});
    parts.push_back({layer.footer.data_offset(), layer.footer.data_offset() + header_bytes});
    parts.push_back({header.table_offset, round_up(header.table_offset + header.table_bytes(), sector_size_bytes)});
    add_batmap(layer, parts);
    if (!layer.differencing) return;
    for (const Locator& locator : header.locators) {
        // candidates() has checked their bounds.
        const std::uint64_t length = std::max<std::uint64_t>(locator.space_bytes, locator.length_bytes);
        if (locator.platform != 0 && length > 0) parts.push_back({locator.offset, locator.offset + length});
    }
}

void require_aligned(const Layer& layer) {
    const std::uint64_t unit = layer.offset_alignment;
    if (unit == sector_size_bytes) return;
    const auto refuse = [&](const std::string& what) {
        throw_reason(Errc::direct_io_unsupported, layer.name + ": " + what + " the disk's sectors of " +
                                                      std::to_string(unit) + " bytes; can only be opened read-only");
    };
    // A bitmap must share no unit with tables: both are written in whole units, each from its own copy.
    std::vector<Part> description;
    add_description(layer, description);
    for (std::uint64_t block = 0; block < layer.header.table_entries; ++block) {
        if (!layer.allocated(block)) continue;
        const std::uint64_t data = layer.data_offset(block);
        if (!is_aligned(data, unit)) refuse("its blocks begin between");
        const std::uint64_t bitmap = round_down(layer.bitmap_offset(block), unit);
        const bool shared = std::ranges::any_of(
            description, [&](const Part& part) { return part.begin < data && round_up(part.end, unit) > bitmap; });
        if (shared) refuse("its tables and a block's bitmap share");
    }
}

/// Checks that direct I/O can write a fixed image to its end.
void prepare_fixed(const Layer& layer) {
    if (is_aligned(layer.file_bytes, layer.offset_alignment)) return;
    if (layer.offset_alignment == sector_size_bytes) return;
    throw_reason(Errc::direct_io_unsupported,
                 layer.name + ": its length is not a multiple of the disk's smallest access, " +
                     std::to_string(layer.offset_alignment) + " bytes; can only be opened read-only");
}

/// Whether the bitmap of `block`, which is in use, lies outside of the file.
bool outside(const Layer& layer, std::uint64_t block) noexcept {
    const std::uint64_t begin = layer.bitmap_offset(block);
    return begin > layer.file_end || layer.bitmap_bytes() > layer.file_end - begin;
}

/// Some writers let the last block end with the disk, and put the footer behind it: in a file the block can be
/// extended.
void require_place_for_last(const Layer& layer, const std::vector<Part>& description, Occupied& occupied) {
    if (!layer.growable) {
        if (occupied.end > layer.file_bytes) return occupied.complain("it is longer than the block device");
        if (occupied.end > layer.file_bytes - footer_bytes) occupied.complain("its last block reaches into the footer");
        return;
    }
    if (!layer.end_footer) return;
    bool reaches = std::ranges::any_of(description, [&](const Part& part) { return part.end > layer.file_end; });
    for (std::uint64_t block = 0; block < layer.header.table_entries && !reaches; ++block) {
        if (!layer.allocated(block) || outside(layer, block)) continue;
        std::uint64_t length = layer.block_bytes();
        if (block < layer.block_count()) length = std::min(length, layer.size_bytes - block * length);
        reaches = layer.data_offset(block) + length > layer.file_end;
    }
    if (reaches) occupied.complain("its last block reaches into the footer");
}

/// Repairs the footer at the beginning: while the image is open it is the only one.
void repair_copy(Layer& layer) {
    const auto copy = Footer::parse(read_bytes(layer, 0, footer_bytes));
    if (copy == layer.footer) return;
    log::warning("image.repair",
                 {{"image", layer.name}, {"reason", "the footer at its beginning is not the one at its end"}});
    write_bytes(layer, 0, layer.footer.bytes());
    sync_file(layer);
    layer.table.keep_footer_copy(layer.footer.bytes());
}

}  // namespace

Occupied find_occupied(const Layer& layer, const std::function<void(std::uint64_t, std::uint64_t)>& visit) {
    Occupied result;
    std::vector<Part> description;
    add_description(layer, description);
    for (std::uint64_t block = 0; block < layer.header.table_entries; ++block) {
        if (!layer.allocated(block)) continue;
        if (outside(layer, block)) {
            result.complain("block " + std::to_string(block) + " is outside of the file");
        } else {
            ++result.blocks;
        }
    }
    // More blocks than fit the file must overlap.
    if (result.blocks > layer.file_bytes / layer.block_bytes() + 1) {
        result.complain("has more blocks than the file has room for");
        return result;
    }
    // There may be millions of blocks: keep only the sector of each.
    std::vector<std::uint32_t> sectors;
    sectors.reserve(result.blocks);
    for (std::uint64_t block = 0; block < layer.header.table_entries; ++block) {
        if (layer.allocated(block) && !outside(layer, block)) sectors.push_back(layer.table.entry(block));
    }
    std::ranges::sort(sectors);
    std::ranges::sort(description, {}, &Part::begin);
    const auto note = [&](const Part& part) {
        if (part.begin < result.end) result.complain("two things are in one place, at " + std::to_string(part.begin));
        if (visit) visit(part.begin, part.end);
        result.end = std::max(result.end, part.end);
    };
    const std::uint64_t block_length = layer.bitmap_bytes() + layer.block_bytes();
    auto next = description.begin();
    for (const std::uint32_t sector : sectors) {
        const std::uint64_t begin = std::uint64_t{sector} * sector_size_bytes;
        while (next != description.end() && next->begin < begin)
            note(*next++);
        note({begin, begin + block_length});
    }
    while (next != description.end())
        note(*next++);
    require_place_for_last(layer, description, result);
    return result;
}

void prepare_for_writing(Layer& layer, MemoryBudget& memory) {
    if (layer.raw) return prepare_fixed(layer);
    // Counted as long as the image is open: find_occupied() runs again when it is closed.
    memory.take(layer.header.table_entries * writing_bytes_per_entry, layer.name, "the order of its blocks");
    require_aligned(layer);
    const Occupied occupied = find_occupied(layer);
    if (occupied.problems > 0) refuse_damaged(layer, occupied.first_problem);
    repair_copy(layer);
    // A last block that ends with the disk is extended, because the next block will be placed behind its full length.
    // The old footer stays inside of it, behind the disk's end.
    if (occupied.end > layer.file_end) layer.end_footer = false;
    const std::uint64_t least = round_up(occupied.end, layer.offset_alignment) + tail_bytes;
    if (layer.growable && !layer.end_footer && layer.file_bytes < least) {
        if (::ftruncate(layer.fd.get(), static_cast<off_t>(least)) != 0) throw_system_error(layer.name);
        layer.file_bytes = least;
    }
    // Unknown data between the last block and the footer stays.
    const bool ends_with_footer = layer.end_footer && layer.growable;
    const std::uint64_t kept = round_down(layer.file_end, sector_size_bytes);
    layer.file_end = round_up(ends_with_footer ? kept : occupied.end, layer.offset_alignment);
}

}  // namespace blktap::vhd
