// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Blocking reads and writes of an image's tables at any offset: rounded to blocks of direct I/O; the rest of a written
// block is read first.
//
// Tested by tests/unit/vhd/open_image_test.cpp.
#pragma once

#include <cstdint>
#include <span>

#include "drivers/vhd/layer.hpp"

namespace blktap::vhd {

/// Returns `length` bytes at `offset`, with zeros behind the file's end. Errors of all functions: throws
/// std::system_error naming the layer. Context: blocks.
std::vector<std::byte> read_bytes(const Layer& layer, std::uint64_t offset, std::uint64_t length);
void write_bytes(const Layer& layer, std::uint64_t offset, std::span<const std::byte> data);
void sync_file(const Layer& layer);

}  // namespace blktap::vhd
