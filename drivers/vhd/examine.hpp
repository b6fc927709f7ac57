// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Examines an image that no disk uses: whether its parts agree with each other, and where the disk's contents are. Only
// reads.
//
// Tested by tests/unit/vhd/examine_test.cpp.
#pragma once

#include <functional>
#include <string>

#include "drivers/vhd/layer.hpp"

namespace blktap::vhd {

struct Findings {
    std::uint64_t blocks_used = 0;
    std::uint64_t unused_bytes = 0;   ///< bytes of the file between its parts: harmless, but lost space
    bool end_footer_missing = false;  ///< as after a crash; the next writer adds it
    bool copy_differs = false;        ///< the footer at the file's beginning is not the one at its end
    std::uint64_t errors = 0;
    std::string first_error{};
};

/// Finds parts of an image that lie outside of its file, or overlap. Errors: throws std::system_error (I/O). Context:
/// blocks.
Findings check_image(const Layer& layer);

/// Calls `visit` for each extent of the disk, in order; together they cover all of it. An invalid extent covers the
/// part of the disk that is damaged. Errors: throws std::system_error (I/O). Context: blocks.
void map_disk(const Chain& chain, const std::function<void(std::uint64_t offset, const Extent&)>& visit);

}  // namespace blktap::vhd
