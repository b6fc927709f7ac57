// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Allocator: places for new blocks, one behind the other at the end of the image. A block has its place from the moment
// that somebody writes to it, and keeps it until it is in the table, whatever fails in between: so nothing is ever
// given away twice, and what a failed write left there is seen by nobody but its own block.
//
// Pure: no I/O. Tested by tests/unit/vhd/allocator_test.cpp.
#pragma once

#include "drivers/vhd/layer.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::vhd {

class Allocator {
  public:
    /// Data begins at multiples of that, in blocks that are made here: what direct I/O and file systems like.
    static constexpr std::uint64_t data_alignment = 4096;

    /// Lifetime: `layer` outlives this. Errors: throws std::system_error (ENOMEM).
    explicit Allocator(const Layer& layer);

    /// Where the bitmap of `block`, which is not in the table, is to be, in bytes. Errors: EFBIG (the table could not
    /// say where).
    Result<std::uint64_t> reserve(std::uint64_t block) noexcept;
    /// The place that it has been given; 0: none.
    std::uint64_t reserved(std::uint64_t block) const noexcept {
        return std::uint64_t{reserved_[block]} * sector_size_bytes;
    }
    /// It is in the table.
    void forget(std::uint64_t block) noexcept { reserved_[block] = 0; }
    /// Takes `bytes` for something else, aligned as data is. Errors: EFBIG.
    Result<std::uint64_t> take(std::uint64_t bytes) noexcept;
    /// All of `blocks`, of `block_bytes` each, behind the first `described_bytes` of a file have a place that a table
    /// can name.
    static bool fits(std::uint64_t blocks, std::uint64_t block_bytes, std::uint64_t described_bytes) noexcept;
    /// What the table needs to become `entries` long: made before, where memory may be short.
    static LazyArray<std::uint32_t> longer(std::uint64_t entries);
    void use(LazyArray<std::uint32_t> longer) noexcept;

  private:
    const Layer& layer_;
    std::uint64_t next_;
    LazyArray<std::uint32_t> reserved_;  ///< in sectors
};

}  // namespace blktap::vhd
