// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// SimAioKernel: a Linux AIO under the control of a test. Operations are real (preadv, pwritev, fdatasync on the real
// descriptor), but the test decides when they happen, in which order and with which faults. Completions go through a
// ring of the kernel's own layout and signal the operation's eventfd, so IoQueue cannot tell the difference.
//
//     SimAioKernel kernel{seed};
//     IoQueue queue{kernel};             // stage, submit ...
//     kernel.complete_all();             // ... and nothing is done before this
//     queue.reap();
//
// Every "n-th" counts from 1, from the construction of the kernel on. To prove that a run survives each fault, loop:
//     for (n = 1;; ++n) { SimAioKernel kernel; kernel.fail_submit(n, EAGAIN); run(kernel); if (!kernel.faults()) break;
//     }
//
// Single-threaded. Tested by tests/unit/aio/sim_aio_kernel_test.cpp.
#pragma once

#include <cerrno>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "libblktap/aio/aio_kernel.hpp"

namespace blktap::testing {

class SimAioKernel final : public AioKernel {
  public:
    /// `seed` decides the order of complete_any() and which operations Chances hit.
    explicit SimAioKernel(std::uint64_t seed = 1);
    ~SimAioKernel() override;

    // Pace. At first all submitted operations are held until one of these functions releases them.

    /// From now on operations are done as they are submitted; held ones stay held.
    void complete_at_submit() noexcept { automatic_ = true; }
    /// From now on operations wait again.
    void hold() noexcept { automatic_ = false; }
    /// Does the operation that is held longest, or any one. Returns false if none is held.
    bool complete_next() noexcept;
    bool complete_any() noexcept;
    /// Does all held operations, oldest first or shuffled; returns their number.
    std::size_t complete_all() noexcept;
    std::size_t complete_all_shuffled() noexcept;
    /// Number of operations submitted and not done.
    std::size_t held() const noexcept { return held_.size(); }

    // Faults by count.

    /// The first `count` io_setup() calls fail.
    void fail_setups(unsigned count, int error = EAGAIN) noexcept;
    /// Contexts made from now on have a ring of unknown layout, so that only io_getevents() can reap.
    void hide_ring() noexcept { ring_hidden_ = true; }
    /// The n-th io_submit() takes nothing and fails.
    void fail_submit(std::uint64_t n, int error) { submit_faults_[n] = {error, 0}; }
    /// The n-th io_submit() takes at most `count` (at least 1) operations.
    void partial_submit(std::uint64_t n, unsigned count) { submit_faults_[n] = {0, count}; }
    /// The n-th operation (in order of being taken) is refused: a submit stops before it, and a submit that begins with
    /// it fails.
    void refuse_operation(std::uint64_t n, int error) { refusals_[n] = error; }
    /// The n-th operation to be done moves at most `bytes`. No effect on fdatasync.
    void short_result(std::uint64_t n, std::size_t bytes) { result_faults_[n] = {0, bytes}; }
    /// The n-th operation to be done moves nothing and completes with -error.
    void result_error(std::uint64_t n, int error) { result_faults_[n] = {error, 0}; }

    /// Probabilities of faults, in thousandths. The first four must be invisible above IoQueue, the others are visible.
    struct Chances {
        unsigned submit_refused = 0;  ///< EAGAIN or EINTR
        unsigned submit_partial = 0;
        unsigned result_short = 0;      ///< cut to a multiple of 512 bytes, at least 512
        unsigned result_transient = 0;  ///< EAGAIN; not for fdatasync
        unsigned result_eio = 0;
        unsigned write_enospc = 0;  ///< writes only
    };
    void set_chances(const Chances& chances) noexcept { chances_ = chances; }

    // What happened.

    /// Faults that struck, of every sort.
    std::uint64_t faults() const noexcept { return faults_; }
    std::uint64_t submit_calls() const noexcept { return submit_calls_; }
    std::uint64_t get_events_calls() const noexcept { return get_events_calls_; }
    /// The slots that the newest context was made with.
    unsigned slots() const noexcept { return slots_; }

    int setup(unsigned slots, io_context_t* context) noexcept override;
    int submit(io_context_t context, long count, iocb** control_blocks) noexcept override;
    int get_events(io_context_t context, long minimum, long maximum, io_event* events,
                   timespec* timeout) noexcept override;
    int destroy(io_context_t context) noexcept override;

  private:
    struct Context;
    struct Held {
        Context* context;
        iocb control_block;
        iocb* address;
        std::vector<iovec> data;
    };
    struct SubmitFault {
        int error;
        unsigned count;
    };
    struct ResultFault {
        int error;
        std::size_t bytes;
    };

    Context& find(io_context_t context) noexcept;
    bool happens(unsigned per_mille) noexcept;
    SubmitFault draw_submit_fault(long count) noexcept;
    std::size_t take(Context& context, std::size_t count, iocb** control_blocks) noexcept;
    std::size_t pick() noexcept;
    void complete(std::size_t index) noexcept;
    ResultFault draw_result_fault(const Held& operation) noexcept;
    long perform(Held& operation) noexcept;

    std::mt19937_64 random_;
    std::vector<std::unique_ptr<Context>> contexts_;
    std::deque<Held> held_;  ///< in the order of submission
    std::map<std::uint64_t, SubmitFault> submit_faults_;
    std::map<std::uint64_t, int> refusals_;
    std::map<std::uint64_t, ResultFault> result_faults_;
    Chances chances_;
    bool automatic_ = false;
    bool ring_hidden_ = false;
    unsigned setups_to_fail_ = 0;
    int setup_error_ = 0;
    unsigned slots_ = 0;
    std::uint64_t submit_calls_ = 0;
    std::uint64_t get_events_calls_ = 0;
    std::uint64_t operations_ = 0;  ///< taken or refused
    std::uint64_t results_ = 0;     ///< done
    std::uint64_t faults_ = 0;
};

}  // namespace blktap::testing
