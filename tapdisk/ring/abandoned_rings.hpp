// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// AbandonedRings: the rings of a frontend whose tapdisk has died, when its disk is detached. The frontend's kernel
// removes the device only after all its requests were answered: this class answers each with an error. Requests that
// were taken and not answered are in the dead tapdisk's recovery log; the others are in the rings. No image is needed.
//
// Tested by tests/unit/tapdisk/ring/abandoned_rings_test.cpp.
#pragma once

#include <functional>
#include <vector>

#include "libblktap/base/event_loop.hpp"
#include "libblktap/ipc/messages.hpp"
#include "tapdisk/ring/recovery_log.hpp"
#include "tapdisk/ring/xen_transport.hpp"

namespace blktap {

class AbandonedRings {
  public:
    /// A frontend that sends no request for this long has sent its last one.
    static constexpr Nanoseconds quiet = std::chrono::milliseconds(200);
    /// The limit for a frontend that sends without end.
    static constexpr Nanoseconds at_most = std::chrono::seconds(3);

    /// Answers the requests in `log`, then those in the rings until they are quiet; then calls `done`, which may
    /// destroy this. Errors: throws std::system_error: those of mapping and binding, Errc::bad_message (no log of these
    /// rings), Errc::bad_version.
    AbandonedRings(EventLoop& loop, xen::KeptHandles& handles, const ipc::ConnectArguments& frontend,
                   const UniqueFd& log, std::function<void()> done);
    AbandonedRings(const AbandonedRings&) = delete;
    AbandonedRings& operator=(const AbandonedRings&) = delete;

    std::uint64_t answered() const noexcept { return answered_; }

  private:
    void answer_logged(const LogContents& log);
    void answer_sent(ConnectionQueue& queue) noexcept;
    void answer(ConnectionQueue& queue, const ring::RawRequest& request) noexcept;
    void wake() noexcept;
    void look();

    EventLoop& loop_;
    XenTransport transport_;
    std::vector<ConnectionQueue> queues_;
    std::function<void()> done_;
    Nanoseconds began_;
    Nanoseconds last_answer_;
    Nanoseconds next_wake_{0};
    std::uint64_t answered_ = 0;
    EventLoop::Timer timer_;
};

}  // namespace blktap
