// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Blocking reads and writes of an image's tables, for opening and closing it, and syncs of its files.
//
// Tested by tests/unit/qcow2/open_image_test.cpp.
#pragma once

#include <cstdint>
#include <span>
#include <system_error>

#include "drivers/qcow2/layer.hpp"
#include "libblktap/base/mapping.hpp"

namespace blktap::qcow2 {

/// Reads `length` bytes at `offset`, which is aligned for direct I/O; bytes behind the file's end are zeros. The
/// returned memory may be longer. Errors of all: throws std::system_error naming the layer. Context: blocks.
Mapping read_table(const Layer& layer, std::uint64_t offset, std::uint64_t length);
/// Writes `data`, whose address and length suit direct I/O.
void write_table(const Layer& layer, std::uint64_t offset, std::span<const std::byte> data);
/// Changes bytes of the header at `offset`, with a write of one sector.
void write_header_field(const Layer& layer, std::uint64_t offset, std::span<const std::byte> data);
void sync_tables(const Layer& layer);

}  // namespace blktap::qcow2
