// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// BounceBuffer: I/O that direct I/O would refuse, through an aligned buffer: sectors of 512 bytes on a disk with blocks
// of 4096, or memory that is not aligned for the device. A write of partial blocks reads the rest of the blocks first.
//
// There is one buffer for each disk, allocated when the disk is opened and used by one request at a time: this is the
// rare case, since guests know the block size, and it must not allocate when memory is short.
//
// Tested by tests/unit/drivers/bounce_buffer_test.cpp and raw_driver_test.cpp.
#pragma once

#include <cstdint>
#include <mutex>
#include <span>
#include <sys/uio.h>
#include <system_error>

#include "libblktap/base/mapping.hpp"
#include "libblktap/base/units.hpp"
#include "libblktap/files/storage_limits.hpp"

namespace blktap {

class BounceBuffer {
  public:
    /// Longer requests are done in pieces. At least 4 of the largest blocks that Linux supports.
    static constexpr std::uint32_t size_bytes = 256 * 1024;

    /// Every access to the file is aligned to `block_size_bytes`: a power of two, at most storage_block_max_bytes.
    /// Errors: throws std::system_error (ENOMEM).
    explicit BounceBuffer(std::uint32_t block_size_bytes);

    /// Reads `range` of `fd` into `data`, which has the same length. Sectors behind `file_end` are zeros.
    /// Errors: Errc::unexpected_end_of_file, and those of pread(2). Context: a worker's thread; blocks.
    std::error_code read(int fd, SectorRange range, std::span<const iovec> data,
                         std::uint64_t file_end = UINT64_MAX) noexcept;
    /// Writes `data` to `range` of `fd`. Blocks that `range` covers in part are read, changed and written: no other
    /// request may write to them meanwhile. Errors: as read(), and those of pwrite(2). Context: as read().
    std::error_code write(int fd, SectorRange range, std::span<const iovec> data) noexcept;

    /// Sets `range` of `fd` to zeros; if the storage can, without transferring them and, with `may_unmap`, without
    /// keeping space for them. Errors and context: as write().
    std::error_code write_zeros(int fd, SectorRange range, bool may_unmap = false) noexcept;

  private:
    struct Piece;
    template <class Transfer>
    std::error_code for_each_piece(SectorRange range, Transfer transfer) noexcept;
    std::error_code load_uncovered_blocks(int fd, const Piece& piece) noexcept;
    std::error_code load_block(int fd, const Piece& piece, std::uint64_t offset_bytes) noexcept;

    const std::uint32_t block_size_bytes_;
    std::mutex mutex_;
    Mapping memory_;  ///< guarded by mutex_
};

}  // namespace blktap
