// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Reads one image: decides which of its footers holds, then reads header and table of blocks.
#include <algorithm>
#include <limits>

#include "drivers/shared/blocking_io.hpp"
#include "drivers/vhd/open_image.hpp"
#include "drivers/vhd/table_io.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::vhd {
namespace {

[[noreturn]] void refuse(const Layer& layer, const std::string& reason) {
    throw_reason(Errc::image_invalid, layer.name + ": " + reason);
}

[[noreturn]] void refuse_sort(const Layer& layer, const std::string& reason) {
    throw_reason(std::make_error_code(std::errc::not_supported), layer.name + ": " + reason);
}

/// The footer at the file's end: [end - length, end).
struct EndFooter {
    std::optional<Footer> footer;
    std::uint64_t offset = 0;
};

EndFooter read_end_footer(const Layer& layer) {
    const bool old = layer.file_bytes % sector_size_bytes == footer_bytes_old;
    const std::uint64_t length = old ? footer_bytes_old : footer_bytes;
    EndFooter end;
    end.offset = layer.file_bytes - length;
    const auto bytes = read_bytes(layer, end.offset, length);
    if (Footer::disabled(bytes)) refuse_sort(layer, "XenServer has marked it as not to be used");
    end.footer = Footer::parse(bytes);
    return end;
}

void require_known(const Layer& layer) {
    const Footer& footer = layer.footer;
    if (footer.version() >> 16 != 1) {
        refuse_sort(layer, "a VHD of the unknown version " + std::to_string(footer.version() >> 16));
    }
    const bool known = footer.is(DiskType::fixed) || footer.is(DiskType::dynamic) || footer.is(DiskType::differencing);
    if (!known) refuse_sort(layer, "a VHD of the unknown type " + std::to_string(footer.type()));
    if (footer.creator() == "tap" && footer.creator_version() == 1) {
        refuse_sort(layer, "made by a XenServer before 5.5, whose bitmaps are the other way round");
    }
    const std::uint64_t bytes = footer.disk_bytes();
    if (bytes == 0 || !is_aligned(bytes, sector_size_bytes) || bytes > disk_bytes_max) {
        refuse(layer, "its size, " + std::to_string(bytes) + " bytes, is 0, not a multiple of 512, or above 2040 GiB");
    }
}

void read_header(Layer& layer) {
    const std::uint64_t offset = layer.footer.data_offset();
    if (offset < footer_bytes || offset > layer.file_bytes || header_bytes > layer.file_bytes - offset) {
        refuse(layer, "its header is outside of the file");
    }
    if (layer.slice_bytes() > SliceCache::slice_bytes_max) {
        throw_reason(Errc::direct_io_unsupported, layer.name + ": the disk's smallest access, " +
                                                      std::to_string(layer.slice_bytes()) + " bytes, is too large");
    }
    layer.header = parse_header(read_bytes(layer, offset, header_bytes), layer.size_bytes, layer.name);
}

void read_table(Layer& layer, TablePart part, MemoryBudget& budget) {
    Header& header = layer.header;
    if (header.table_offset > layer.file_bytes || header.table_bytes() > layer.file_bytes - header.table_offset) {
        refuse(layer, "its table of blocks is outside of the file");
    }
    if (part == TablePart::of_disk) header.table_entries = static_cast<std::uint32_t>(layer.block_count());
    const std::uint64_t begin = round_down(header.table_offset, layer.slice_bytes());
    const std::uint64_t end = round_up(header.table_offset + header.table_bytes(), layer.slice_bytes());
    const std::uint64_t full_words = layer.pieces() / 64 + 1;
    budget.take(end - begin + page_size_bytes + full_words * 8, layer.name, "its table of blocks");
    Mapping memory = Mapping::anonymous(end - begin + page_size_bytes);
    const auto count = read_at(layer.fd.get(), memory.bytes().first(end - begin), begin);
    if (!count) throw_error(count.error(), layer.name + ": cannot read");
    layer.table = BlockTable{std::move(memory), begin, header.table_offset};
    layer.full = LazyArray<std::uint64_t>{full_words};
}

}  // namespace

void read_image(Layer& layer, TablePart part, MemoryBudget& memory) {
    if (layer.file_bytes < footer_bytes) refuse(layer, "too short for a VHD");
    layer.has_footer = true;
    EndFooter end = read_end_footer(layer);
    const auto copy = Footer::parse(read_bytes(layer, 0, footer_bytes));
    if (end.footer && !end.footer->is(DiskType::fixed) && copy && copy->uuid() != end.footer->uuid()) {
        // The end of a file that was not closed may be a guest's data, but a guest does not know the UUID.
        end.footer.reset();
    }
    if (end.footer) {
        layer.footer = *end.footer;
        layer.end_footer = true;
    } else {
        // A fixed image has only a footer at the end: a guest wrote its beginning.
        if (!copy || copy->is(DiskType::fixed)) refuse(layer, "not a VHD: has no footer that is whole");
        layer.footer = *copy;
    }
    require_known(layer);
    layer.size_bytes = layer.footer.disk_bytes();
    layer.raw = layer.footer.is(DiskType::fixed);
    layer.differencing = layer.footer.is(DiskType::differencing);
    if (layer.raw) {
        layer.file_end = end.offset;
        if (layer.size_bytes > end.offset) refuse(layer, "the file is shorter than the disk");
        return;
    }
    read_header(layer);
    read_table(layer, part, memory);
    layer.file_end = layer.end_footer ? end.offset : layer.file_bytes;
}

}  // namespace blktap::vhd
