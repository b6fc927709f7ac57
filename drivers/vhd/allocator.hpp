// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Allocator: gives new blocks consecutive offsets at the end of the image. A block gets its offset with the first write
// to it, and keeps it until it is in the table, whatever fails in between: so no space is given away twice, and only
// that block can show what a failed write left there.
//
// Pure: no I/O. Tested by tests/unit/vhd/allocator_test.cpp.
#pragma once

#include "drivers/vhd/layer.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::vhd {

class Allocator {
  public:
    /// The data of new blocks is aligned to this, which suits direct I/O and file systems.
    static constexpr std::uint64_t data_alignment = 4096;

    /// Lifetime: `layer` outlives this. Errors: throws std::system_error (ENOMEM).
    explicit Allocator(const Layer& layer);

    /// Returns the offset for the bitmap of `block`, which is not in the table, in bytes. Errors: EFBIG (beyond what an
    /// entry of the table can express).
    Result<std::uint64_t> reserve(std::uint64_t block) noexcept;
    /// The offset that `block` has been given; 0: none.
    std::uint64_t reserved(std::uint64_t block) const noexcept {
        return std::uint64_t{reserved_[block]} * sector_size_bytes;
    }
    /// Call when `block` is in the table.
    void forget(std::uint64_t block) noexcept { reserved_[block] = 0; }
    /// Allocates `bytes` for another purpose, aligned like data; returns the offset. Errors: EFBIG.
    Result<std::uint64_t> take(std::uint64_t bytes) noexcept;
    /// Whether a table can express the offsets of `blocks` blocks of `block_bytes` each, behind the first
    /// `described_bytes` of a file.
    static bool fits(std::uint64_t blocks, std::uint64_t block_bytes, std::uint64_t described_bytes) noexcept;
    /// Allocates the memory for a table of `entries`, in advance, because allocation may fail.
    static LazyArray<std::uint32_t> longer(std::uint64_t entries);
    void use(LazyArray<std::uint32_t> longer) noexcept;

  private:
    const Layer& layer_;
    std::uint64_t next_;
    LazyArray<std::uint32_t> reserved_;  ///< in sectors
};

}  // namespace blktap::vhd
