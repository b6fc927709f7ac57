// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// IoOp: one kernel I/O operation, embedded in the object that waits for it. IoQueue::reap() calls `completed` exactly
// once for each stage(), whatever happened, on the loop's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <sys/uio.h>
#include <system_error>

#include <boost/intrusive/list.hpp>
#include <libaio.h>

namespace blktap {

struct IoOp : boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::safe_link>> {
    enum class Kind : std::uint8_t { read, write, fdatasync };
    enum class State : std::uint8_t { idle, staged, in_kernel, finished };

    // The request; set by the owner while idle, and again before each stage(): IoQueue advances offset and data, also
    // the entries of the array, when it continues after a short result.
    Kind kind = Kind::read;
    int fd = -1;
    std::uint64_t offset_bytes = 0;
    /// Memory to read into or write from, at most IOV_MAX entries. Lifetime: array and memory until `completed`.
    std::span<iovec> data{};
    bool allocates = false;  ///< a write for which the file system may have to allocate; for statistics
    void (*completed)(IoOp&) noexcept = nullptr;

    // The result; read by the owner in `completed`.
    std::error_code error{};
    /// Bytes moved; fewer than requested only when `error` is set or a read met the end of the file.
    std::uint64_t transferred_bytes = 0;

    std::uint64_t remaining_bytes = 0;  ///< requested and not moved yet

    // IoQueue's own.
    State state = State::idle;
    std::uint8_t refusals = 0;  ///< times in a row that the storage answered "not now"
    iocb control_block{};
};

}  // namespace blktap
