// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Blocking reads and writes of what describes an image, anywhere in its file: rounded to what direct I/O takes, the
// rest of a written block read before.
//
// Tested by tests/unit/vhd/open_image_test.cpp.
#pragma once

#include <cstdint>
#include <span>

#include "drivers/vhd/layer.hpp"

namespace blktap::vhd {

/// `length` bytes at `offset`; behind the file's end are zeros. Errors of all: throws std::system_error naming the
/// layer. Context: blocks.
std::vector<std::byte> read_bytes(const Layer& layer, std::uint64_t offset, std::uint64_t length);
void write_bytes(const Layer& layer, std::uint64_t offset, std::span<const std::byte> data);
void sync_file(const Layer& layer);

}  // namespace blktap::vhd
