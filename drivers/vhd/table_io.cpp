// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/table_io.hpp"

#include <algorithm>
#include <unistd.h>

#include "drivers/shared/blocking_io.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::vhd {
namespace {

/// Whole blocks of direct I/O around a part of the file, and the position of that part in them.
struct Around {
    std::uint64_t begin;
    Mapping memory;
    std::span<std::byte> blocks;
    std::span<std::byte> piece;
};

Around read_around(const Layer& layer, std::uint64_t offset, std::uint64_t length) {
    const std::uint64_t begin = round_down(offset, layer.offset_alignment);
    const std::uint64_t end = round_up(offset + length, layer.offset_alignment);
    Around around{begin, Mapping::anonymous(end - begin + page_size_bytes), {}, {}};
    around.blocks = around.memory.bytes().first(end - begin);
    around.piece = around.blocks.subspan(offset - begin, length);
    const auto count = read_at(layer.fd.get(), around.blocks, begin);
    if (!count) throw_error(count.error(), layer.name + ": cannot read");
    return around;
}

}  // namespace

std::vector<std::byte> read_bytes(const Layer& layer, std::uint64_t offset, std::uint64_t length) {
    const Around around = read_around(layer, offset, length);
    return {around.piece.begin(), around.piece.end()};
}

void write_bytes(const Layer& layer, std::uint64_t offset, std::span<const std::byte> data) {
    const Around around = read_around(layer, offset, data.size());
    std::ranges::copy(data, around.piece.begin());
    if (const auto error = write_at(layer.fd.get(), around.blocks, around.begin)) {
        throw_error(error, layer.name + ": cannot write");
    }
}

void sync_file(const Layer& layer) {
    if (::fdatasync(layer.fd.get()) != 0) throw_system_error(layer.name + ": cannot flush");
}

}  // namespace blktap::vhd
