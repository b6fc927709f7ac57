// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// IoOp: one kernel I/O operation, embedded in the object that waits for it. The state says who has it; `completed` is
// called exactly once, whatever happened, by IoQueue::reap() on the loop's thread.
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

    // What to do; set by the owner while idle, and again before each stage(): IoQueue moves offset and data forward as
    // it goes, also inside the array when it finishes a short result.
    Kind kind = Kind::read;
    int fd = -1;
    std::uint64_t offset_bytes = 0;
    /// Memory to read into or write from, at most IOV_MAX entries. Lifetime: array and memory until `completed`.
    std::span<iovec> data{};
    bool allocates = false;  ///< a write that may be the first to its place; for statistics
    void (*completed)(IoOp&) noexcept = nullptr;

    // What happened; read by the owner in `completed`.
    std::error_code error{};
    /// Bytes moved; below the bytes asked only when `error` is set or a read met the end of the file.
    std::uint64_t transferred_bytes = 0;

    std::uint64_t remaining_bytes = 0;  ///< of those asked, not moved

    // IoQueue's own.
    State state = State::idle;
    std::uint8_t refusals = 0;  ///< times in a row that the storage answered "not now"
    iocb control_block{};
};

}  // namespace blktap
