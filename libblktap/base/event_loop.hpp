// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// EventLoop: one epoll loop, for tapdisk and tapback alike. It waits for descriptors and timers, and after each round
// of events calls its turn: one function that does the round's work in the order its owner wants (docs/ARCHITECTURE.md,
// "The life of one request"). An idle loop sleeps in one epoll_wait() without a timeout and makes no other system call.
// Why not Asio: the order of a turn, and the system calls in it, must be ours (docs/decisions/0003).
//
// Tested by tests/unit/base/event_loop_test.cpp and timer_test.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <sys/epoll.h>
#include <vector>

#include "libblktap/base/clock.hpp"
#include "libblktap/base/unique_fd.hpp"

namespace blktap {

class EventLoop {
  public:
    /// `clock` must outlive the loop. Errors: throws std::system_error (EMFILE).
    explicit EventLoop(const Clock& clock);
    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;
    ~EventLoop();

    /// Watches a descriptor from construction to destruction.
    class Watch {
      public:
        using Handler = std::function<void(std::uint32_t events)>;
        /// Calls `handler` on the loop's thread while `fd` has `events` (EPOLLIN, ..., with EPOLLET if wanted).
        /// Lifetime: `fd` stays open, and `loop` alive, until this object dies. A handler may destroy any watch, its
        /// own included. Errors: throws std::system_error (ENOSPC: fs.epoll.max_user_watches).
        Watch(EventLoop& loop, int fd, std::uint32_t events, Handler handler);
        Watch(const Watch&) = delete;
        Watch& operator=(const Watch&) = delete;
        ~Watch();

      private:
        friend class EventLoop;
        EventLoop& loop_;
        int fd_;
        Handler handler_;
    };

    /// A timer that fires once per arm(), some milliseconds late at most: it goes by Clock::coarse().
    class Timer {
      public:
        using Handler = std::function<void()>;
        Timer(EventLoop& loop, Handler handler);
        Timer(const Timer&) = delete;
        Timer& operator=(const Timer&) = delete;
        ~Timer();
        /// Fires `delay` from now; replaces an earlier arm(). Makes no system call: the loop's own wait ends in time.
        /// The handler may arm or destroy this timer.
        void arm(Nanoseconds delay);
        void disarm() noexcept { armed_ = false; }
        bool armed() const noexcept { return armed_; }

      private:
        friend class EventLoop;
        EventLoop& loop_;
        Handler handler_;
        Nanoseconds deadline_{0};
        bool armed_ = false;
    };

    /// What the loop does after a turn.
    enum class Next { sleep, turn_again };
    /// Sets the function that is called after each round of events, before the loop sleeps. When it returns turn_again,
    /// the loop looks for new events without sleeping and calls it once more. The round after set_turn() does not sleep
    /// either, so that work that was staged before run() gets a turn. Not from inside the turn itself.
    void set_turn(std::function<Next()> turn) {
        turn_ = std::move(turn);
        again_ = true;
    }

    /// Runs until stop(). Handlers run on the calling thread; an exception of one leaves run().
    void run();
    /// One round: waits (at most `limit`; negative: until something happens), dispatches, fires the timers that are
    /// due, calls the turn. Not from inside a handler.
    void run_once(Nanoseconds limit = Nanoseconds{-1});
    /// Ends run() after the round; before run(), makes it return at once. Context: loop thread.
    void stop() noexcept { stopping_ = true; }
    const Clock& clock() const noexcept { return clock_; }

  private:
    int wait_timeout_ms(Nanoseconds limit) const noexcept;
    template <class Slot, class... Arguments>
    static void call_handler(Slot slot, Arguments... arguments);
    void dispatch(int count);
    void fire_timers();

    const Clock& clock_;
    UniqueFd epoll_;
    std::vector<epoll_event> ready_;  ///< events of the round being dispatched; null where a watch was destroyed
    std::vector<Timer*> timers_;      ///< all timers, a handful; null where one was destroyed
    std::function<Next()> turn_;
    bool again_ = false;
    bool stopping_ = false;
};

}  // namespace blktap
