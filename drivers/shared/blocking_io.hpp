// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Blocking reads and writes that continue after short results, for a driver's jobs on the workers.
//
// Tested by tests/unit/drivers/blocking_io_test.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <sys/uio.h>
#include <system_error>

#include "libblktap/base/error.hpp"

namespace blktap {

/// Reads from `offset_bytes` on until `data` is full or the file ends; returns the number of bytes.
/// Errors: those of pread(2). Context: a worker's thread; blocks.
Result<std::size_t> read_at(int fd, std::span<std::byte> data, std::uint64_t offset_bytes) noexcept;

/// Fills `data` from `offset_bytes` on of a file that should end at `file_end`, with zeros behind that end. `data` may
/// extend beyond the end, as direct I/O needs if a file does not end on a block.
/// Errors: Errc::unexpected_end_of_file (the file has become shorter); those of pread(2). Context: as read_at().
std::error_code read_to_end(int fd, std::span<std::byte> data, std::uint64_t offset_bytes,
                            std::uint64_t file_end) noexcept;

/// Writes all of `data` at `offset_bytes`. Errors: those of pwrite(2); a part may have been written.
/// Context: a worker's thread; blocks.
std::error_code write_at(int fd, std::span<const std::byte> data, std::uint64_t offset_bytes) noexcept;

/// Writes all of `data`, at most IOV_MAX entries, at `offset_bytes`, and changes the entries. Errors: as write_at();
/// ENOSPC if the kernel writes nothing. Context: as write_at().
std::error_code write_all_at(int fd, std::span<iovec> data, std::uint64_t offset_bytes) noexcept;

/// Sets a file's length. Errors: those of ftruncate(2). Context: a worker's thread; blocks.
std::error_code set_length(int fd, std::uint64_t length_bytes) noexcept;

/// Checks that a regular file still has at least `bytes`. If somebody else cut it, data is lost, and making the file
/// longer would put zeros in its place.
/// Errors: Errc::unexpected_end_of_file; those of fstat(2). Context: a worker's thread; may block.
std::error_code require_length(int fd, std::uint64_t bytes) noexcept;

/// Extends a file to `end` and allocates [begin, end), completely or not at all: after an error its length is `old_end`
/// again. If the file system cannot allocate, blocks are allocated by later writes. Errors: those of fallocate(2) and
/// ftruncate(2). Context: a worker's thread; blocks.
std::error_code lengthen(int fd, std::uint64_t old_end, std::uint64_t begin, std::uint64_t end) noexcept;

/// Sets [begin, end) to zeros without writing them. Errors: EOPNOTSUPP (the storage cannot), and others of
/// fallocate(2). Context: a worker's thread; blocks.
std::error_code zero_range(int fd, std::uint64_t begin, std::uint64_t end) noexcept;

/// The same, and frees the storage of the range. Errors and context: as zero_range().
std::error_code zero_and_free(int fd, std::uint64_t begin, std::uint64_t end) noexcept;

/// Makes the name of the file at `path` durable: without its name a durable file is lost all the same. Context: blocks.
std::error_code sync_directory_of(const std::string& path);

}  // namespace blktap
