// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/table_io.hpp"

#include <cstring>
#include <unistd.h>

#include "drivers/shared/blocking_io.hpp"
#include "libblktap/base/assert.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::qcow2 {

Mapping read_table(const Layer& layer, std::uint64_t offset, std::uint64_t length) {
    Mapping memory = Mapping::anonymous(round_up(length + 1, page_size_bytes));
    const auto wanted = memory.bytes().first(round_up(length, layer.offset_alignment));
    const auto count = read_at(layer.fd.get(), wanted, offset);
    if (!count) throw_error(count.error(), layer.name + ": cannot read a table");
    return memory;
}

void write_table(const Layer& layer, std::uint64_t offset, std::span<const std::byte> data) {
    if (const auto error = write_at(layer.fd.get(), data, offset)) throw_error(error, layer.name + ": cannot write");
}

void write_header_field(const Layer& layer, std::uint64_t offset, std::span<const std::byte> data) {
    const Mapping block = read_table(layer, 0, layer.offset_alignment);
    BLKTAP_ASSERT(offset + data.size() <= sector_size_bytes);
    std::memcpy(block.data() + offset, data.data(), data.size());
    write_table(layer, 0, block.bytes().first(layer.offset_alignment));
}

void sync_tables(const Layer& layer) {
    if (::fdatasync(layer.fd.get()) != 0) throw_system_error(layer.name + ": cannot flush");
}

}  // namespace blktap::qcow2
