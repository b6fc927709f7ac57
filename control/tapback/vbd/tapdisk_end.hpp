// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// TapdiskEnd: ends the tapdisk of a disk, also one that does not give the rings back or cannot be asked to: it must not
// keep a disk that is being taken away.
//
// Tested by tests/unit/tapback/vbd/tapdisk_end_test.cpp.
#pragma once

#include "control/tapback/session/disk_session.hpp"
#include "control/tapback/vbd/disk_situation.hpp"
#include "control/tapback/vbd/disk_status.hpp"
#include "libblktap/base/event_loop.hpp"

namespace blktap::tapback {

class TapdiskEnd {
  public:
    /// Time for a tapdisk to give the rings back: longer than storage is slow, and toolstacks wait 10 seconds.
    static constexpr Nanoseconds patience = std::chrono::seconds(30);

    /// All arguments outlive this.
    TapdiskEnd(EventLoop& loop, DiskSession& session, DiskSituation& situation, DiskStatus& status);
    TapdiskEnd(const TapdiskEnd&) = delete;
    TapdiskEnd& operator=(const TapdiskEnd&) = delete;

    /// Ends the tapdisk, which has nothing left to do.
    void end();
    /// Call it after each look at the disk that found nothing to do: perhaps the tapdisk does not answer.
    /// Errors: throws std::system_error (xenstored's).
    void watch();

  private:
    bool is_leaving() const noexcept { return !situation_.now().owned || !situation_.now().online; }
    bool has_rings_due() const;
    void give_up();

    DiskSession& session_;
    DiskSituation& situation_;
    DiskStatus& status_;
    EventLoop::Timer timer_;
};

}  // namespace blktap::tapback
