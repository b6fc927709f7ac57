// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Images on disk for tests of the qcow2 driver: qemu-img makes them, and tests read and spoil them byte by byte.
#pragma once

#include "tests/support/images/image_files.hpp"
#include "tests/support/images/qemu_img.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/thrown.hpp"

namespace blktap::testing {

class ImageBytes : public FileBytes {
  public:
    using FileBytes::FileBytes;
    std::uint64_t l1_offset() const { return get<std::uint64_t>(40); }
    /// Of the first L2 table.
    std::uint64_t l2_offset() const { return get<std::uint64_t>(l1_offset()) & 0x00fffffffffffe00; }
    std::uint64_t refcount_table_offset() const { return get<std::uint64_t>(48); }
    /// Of the first refcount block.
    std::uint64_t refcount_block_offset() const { return get<std::uint64_t>(refcount_table_offset()); }
};

}  // namespace blktap::testing
