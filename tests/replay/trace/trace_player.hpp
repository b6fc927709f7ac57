// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// `ring-replay trace`: repeats the requests of a guest to a tapdisk: the same queues, order and times, good and bad
// requests. A trace does not have the written data: writes write whatever is in their pages, so play traces on a copy
// of a disk.
//
// Tested by tests/unit/replay/trace_test.cpp.
#pragma once

#include <optional>

#include "tests/replay/failure.hpp"
#include "tests/replay/target.hpp"
#include "tests/replay/trace/trace_file.hpp"

namespace blktap::replay {

struct TraceOptions {
    std::string file;
    /// Times faster than recorded; 0: as fast as the disk answers.
    double speed = 1;
    unsigned depth = 32;  ///< at most this many in flight on each queue
    bool json = false;
    bool print_only = false;
};

/// Errors: throws Failure; std::runtime_error for the file.
Exit run_trace(const Target& target, const TraceOptions& options);

class TraceTraffic final : public Traffic {
  public:
    /// `trace` must outlive this. Requests are due from `began` on.
    TraceTraffic(const Trace& trace, double speed, Nanoseconds began);
    Next next(Slot& slot, Nanoseconds now) override;
    void completed(Slot& slot, ring::Status status) override;
    Nanoseconds wake_at(Nanoseconds now) const noexcept override;
    void stop() noexcept override;

    /// Requests whose answers differ from the recording.
    std::uint64_t newly_rejected() const noexcept { return newly_rejected_; }
    std::uint64_t newly_accepted() const noexcept { return newly_accepted_; }
    std::uint64_t lost_in_recording() const noexcept;

  private:
    Nanoseconds due(std::size_t record) const noexcept;
    void set_work(Slot& slot, const ring::TraceRecord& record) noexcept;

    const Trace& trace_;
    const double speed_;
    const Nanoseconds began_;
    std::vector<std::vector<std::size_t>> queued_;  ///< per queue: its records, in order
    std::vector<std::size_t> next_;                 ///< per queue: position in queued_
    std::vector<SegmentShape> shape_;
    std::uint64_t newly_rejected_ = 0;
    std::uint64_t newly_accepted_ = 0;
    std::size_t left_;  ///< records not yet asked
};

/// Pages that the largest request of a trace needs.
std::uint32_t pages_of_largest(const Trace& trace) noexcept;

}  // namespace blktap::replay
