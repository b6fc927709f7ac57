// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Looking at an image that nobody serves: whether its parts agree with each other, and where the disk's contents are.
// Reads only.
//
// Tested by tests/unit/vhd/examine_test.cpp.
#pragma once

#include <functional>
#include <string>

#include "drivers/vhd/layer.hpp"

namespace blktap::vhd {

struct Findings {
    std::uint64_t blocks_used = 0;
    std::uint64_t unused_bytes = 0;   ///< of the file, between what is used: harmless, but lost space
    bool end_footer_missing = false;  ///< as after a crash; the next writer writes it
    bool copy_differs = false;        ///< the footer at the file's beginning is not the one at its end
    std::uint64_t errors = 0;
    std::string first_error{};
};

/// Looks for parts of an image that are outside of its file, or over each other. Errors: throws std::system_error
/// (I/O). Context: blocks.
Findings check_image(const Layer& layer);

/// Calls `visit` for each piece of the disk, in order; together they are all of it. An extent that is invalid is as
/// long as what it spoils. Errors: throws std::system_error (I/O). Context: blocks.
void map_disk(const Chain& chain, const std::function<void(std::uint64_t offset, const Extent&)>& visit);

}  // namespace blktap::vhd
