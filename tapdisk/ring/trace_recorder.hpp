// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// TraceRecorder: writes guests' requests to a trace file while a disk is being served. A request costs an encoding into
// memory; the workers write the file. If they cannot keep up, requests are counted as lost in the trace and do not
// wait.
//
// Tested by tests/unit/tapdisk/ring/trace_recorder_test.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "libblktap/base/clock.hpp"
#include "libblktap/base/event_loop.hpp"
#include "libblktap/base/unique_fd.hpp"
#include "libblktap/base/worker_pool.hpp"
#include "libblktap/ring/trace.hpp"
#include "tapdisk/ring/request_slot.hpp"

namespace blktap {

class TraceRecorder {
  public:
    /// Writes the header to `file` at once. Errors: throws std::system_error if that fails.
    TraceRecorder(EventLoop& loop, WorkerPool& workers, UniqueFd file, const ring::TraceHeader& header);
    TraceRecorder(const TraceRecorder&) = delete;
    TraceRecorder& operator=(const TraceRecorder&) = delete;
    ~TraceRecorder();

    /// Records a request that was judged, or rejected.
    void note(const RequestSlot& slot, bool rejected) noexcept;
    /// Writes the remaining records, then calls `stopped` once, on the loop's thread, with the first error of any
    /// write.
    void stop(std::function<void(std::error_code)> stopped);

    /// Whether stop() was called and has not finished.
    bool stopping() const noexcept { return stopped_ != nullptr; }

    std::uint64_t recorded() const noexcept { return recorded_; }
    std::uint64_t lost() const noexcept { return lost_; }

  private:
    static constexpr std::size_t buffer_size_bytes =
        std::size_t{256} * 1024;  // about 8,000 requests between two writes

    void write_filled() noexcept;
    void go_on_stopping();
    static void run(WorkerJob& job) noexcept;
    static void done(WorkerJob& job) noexcept;

    struct Job : WorkerJob {
        TraceRecorder* recorder = nullptr;
    };

    EventLoop& loop_;
    WorkerPool& workers_;
    UniqueFd file_;
    const Nanoseconds began_;
    std::vector<std::byte> filling_, writing_;
    std::size_t filled_ = 0;
    std::size_t writing_bytes_ = 0;  ///< 0: no write is under way
    Job job_;
    EventLoop::Timer flush_timer_;
    std::function<void(std::error_code)> stopped_;
    std::error_code error_;
    std::uint64_t recorded_ = 0;
    std::uint64_t lost_ = 0;
    std::uint32_t lost_since_last_ = 0;
};

}  // namespace blktap
