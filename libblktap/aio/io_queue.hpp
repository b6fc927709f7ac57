// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// IoQueue: disk I/O through Linux AIO in batches. Operations are staged, submitted with one io_submit() a turn and
// reaped from the completion ring that the kernel maps into user space, without a system call. There is one completion
// path: a failed submission arrives as a completion too.
//
// The kernel's context is small, because fs.aio-max-nr (65,536 by default) is shared by the whole host: 1,024 disks
// with 48 slots each fit. Further operations wait in the queue.
//
// When storage answers "not now" (EAGAIN, EINTR), the queue retries a few times at once, then when the owner's timer
// calls retry(): retrying without a pause would keep a processor busy, and hide that requests wait.
//
// Ring layout and its guards (magic, incompatible features): Linux fs/aio.c, struct aio_ring. Errors of io_submit():
// io_submit(2); only the first operation of a refused batch is to blame.
//
// Tested by tests/unit/aio/io_queue_test.cpp, io_queue_faults_test.cpp and io_queue_every_fault_test.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <system_error>
#include <vector>

#include <boost/intrusive/list.hpp>

#include "libblktap/aio/aio_kernel.hpp"
#include "libblktap/aio/io_op.hpp"
#include "libblktap/base/unique_fd.hpp"

namespace blktap {

class IoQueue {
  public:
    /// aio-max-nr / 48 is 1,365 disks on a default host.
    static constexpr unsigned default_slots = 48;

    struct Stats {
        std::uint64_t submits = 0;          ///< io_submit() calls
        std::uint64_t submitted = 0;        ///< operations that the kernel accepted
        std::uint64_t resubmitted = 0;      ///< tails of short results, and completions with EAGAIN
        std::uint64_t refused_submits = 0;  ///< io_submit() calls that accepted no operation
        std::uint64_t reaped = 0;           ///< `completed` calls
        std::uint64_t waiting_max = 0;      ///< most operations that waited for a kernel slot at once
        /// io_submit() calls with an operation that may make the file system allocate.
        std::uint64_t allocating_submits = 0;
    };

    /// At most `slots` operations are in the kernel at once. When io_setup() fails because aio-max-nr is used up, the
    /// queue tries half as many slots, down to 1, with one warning in the log. Lifetime: `kernel` must outlive the
    /// queue. Errors: throws std::system_error, naming aio-max-nr for EAGAIN.
    explicit IoQueue(AioKernel& kernel, unsigned slots = default_slots);
    IoQueue(const IoQueue&) = delete;
    IoQueue& operator=(const IoQueue&) = delete;
    /// Nothing may be staged or in the kernel: drain first.
    ~IoQueue();

    /// Queues an idle operation for the next submit_staged(). Context: loop thread. Allocates nothing.
    void stage(IoOp& op) noexcept;
    /// Submits staged operations, as many as there are free slots, with at most one io_submit(). Operations that the
    /// kernel did not accept stay staged; one that it refused is finished, and reap() completes it. After EAGAIN
    /// nothing is submitted until a completion has freed resources.
    void submit_staged() noexcept;
    /// Calls `completed` of finished operations, at most `count_max`, and returns their number. An operation with a
    /// short result is staged again for its tail. A `completed` may stage, submit, reap and destroy its operation; if
    /// an operation fails inside of it, the next reap() completes that one.
    std::size_t reap(std::size_t count_max = std::numeric_limits<std::size_t>::max()) noexcept;
    /// The last reap() left finished operations for the next one.
    bool reap_left() const noexcept { return !finished_.empty(); }

    /// reap() would complete something: an event in the ring, or an operation that was refused. For polling, and for
    /// the last check before sleeping. No system call where the ring is mapped.
    bool completion_pending() const noexcept;
    /// An operation is staged and not submitted.
    bool staged() const noexcept { return !staged_.empty(); }
    /// A staged operation may make the file system allocate.
    bool staged_allocates() const noexcept { return staged_allocates_; }
    /// submit_staged() would do something now.
    bool can_submit() const noexcept { return !staged_.empty() && in_kernel_ < slots_ && !blocked_; }
    /// Operations are put off, or the kernel refused with EAGAIN while it holds none of ours, so that no completion
    /// will wake the loop: the owner must call retry() from a timer.
    bool needs_retry_timer() const noexcept { return !put_off_.empty() || all_blocked(); }
    void retry() noexcept;
    /// Operations that the kernel or the storage keeps answering with "not now", whether they are put off or being
    /// retried.
    std::size_t refused_count() const noexcept { return refused_count_ + (all_blocked() ? staged_.size() : 0); }
    /// No operation is staged, put off, in the kernel, or finished and not reaped.
    bool idle() const noexcept { return staged_.empty() && put_off_.empty() && in_kernel_ == 0 && finished_.empty(); }

    /// Becomes readable when the kernel completes an operation (an eventfd, non-blocking). Watch it edge-triggered:
    /// then it needs no read().
    int completion_fd() const noexcept { return completion_event_.get(); }
    unsigned slots() const noexcept { return slots_; }
    unsigned in_kernel() const noexcept { return in_kernel_; }
    const Stats& stats() const noexcept { return stats_; }

  private:
    using OpList = boost::intrusive::list<IoOp>;
    struct KernelRing;

    void submit_batch() noexcept;
    void fail_first_staged(int error) noexcept;
    void take_from_mapped_ring() noexcept;
    void take_by_call() noexcept;
    void take(const io_event& event) noexcept;
    bool all_blocked() const noexcept { return blocked_ && in_kernel_ == 0 && !staged_.empty(); }
    void try_again(IoOp& op) noexcept;
    void end_refusals(IoOp& op) noexcept;
    void restage(IoOp& op) noexcept;
    void finish(IoOp& op, std::error_code error) noexcept;
    std::size_t complete_finished(std::size_t count_max) noexcept;

    AioKernel& kernel_;
    unsigned slots_ = 0;
    UniqueFd completion_event_;
    std::vector<iocb*> batch_;
    OpList staged_;
    OpList put_off_;   ///< refused more than refusals_at_once times; they wait for retry()
    OpList finished_;  ///< done without or after the kernel; completed by reap()
    unsigned in_kernel_ = 0;
    std::size_t refused_count_ = 0;  ///< operations with more than refusals_at_once refusals, in whichever list
    bool blocked_ = false;
    bool staged_allocates_ = false;  ///< an allocating operation was staged since the list was last empty
    Stats stats_;
    KernelRing* ring_ = nullptr;      ///< null if the kernel's ring has an unknown layout
    io_context_t context_ = nullptr;  // last: destroyed before what its operations use
};

}  // namespace blktap
