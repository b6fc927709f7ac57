// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/event_loop.hpp"

#include <algorithm>
#include <cerrno>
#include <limits>

#include "libblktap/base/assert.hpp"
#include "libblktap/base/error.hpp"

namespace blktap {
namespace {

/// Events taken from the kernel per round; further ones come with the next round.
constexpr std::size_t events_per_round = 64;

}  // namespace

EventLoop::EventLoop(const Clock& clock)
    : clock_(clock), epoll_(::epoll_create1(EPOLL_CLOEXEC)), ready_(events_per_round) {
    if (!epoll_) throw_system_error("epoll_create1");
}

EventLoop::~EventLoop() {
    BLKTAP_ASSERT(std::all_of(timers_.begin(), timers_.end(), [](const Timer* timer) { return timer == nullptr; }));
}

EventLoop::Watch::Watch(EventLoop& loop, int fd, std::uint32_t events, Handler handler)
    : loop_(loop), fd_(fd), handler_(std::move(handler)) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = this;
    if (::epoll_ctl(loop_.epoll_.get(), EPOLL_CTL_ADD, fd_, &event) != 0) {
        throw_system_error("watching descriptor " + std::to_string(fd_));
    }
}

EventLoop::Watch::~Watch() {
    ::epoll_ctl(loop_.epoll_.get(), EPOLL_CTL_DEL, fd_, nullptr);
    // The round being dispatched may still name this object, or call it right now.
    for (epoll_event& event : loop_.ready_) {
        if (event.data.ptr == this) event.data.ptr = nullptr;
    }
}

EventLoop::Timer::Timer(EventLoop& loop, Handler handler) : loop_(loop), handler_(std::move(handler)) {
    const auto unused = std::find(loop_.timers_.begin(), loop_.timers_.end(), nullptr);
    if (unused != loop_.timers_.end()) {
        *unused = this;
    } else {
        loop_.timers_.push_back(this);
    }
}

EventLoop::Timer::~Timer() {
    std::replace(loop_.timers_.begin(), loop_.timers_.end(), this, static_cast<Timer*>(nullptr));
}

void EventLoop::Timer::arm(Nanoseconds delay) {
    const Nanoseconds now = loop_.clock_.now();
    deadline_ = now + std::clamp(delay, Nanoseconds::zero(), Nanoseconds::max() - now);
    armed_ = true;
}

void EventLoop::run() {
    while (!stopping_)
        run_once();
    stopping_ = false;
}

void EventLoop::run_once(Nanoseconds limit) {
    const int timeout_ms = std::exchange(again_, false) ? 0 : wait_timeout_ms(limit);
    const int count = ::epoll_wait(epoll_.get(), ready_.data(), static_cast<int>(ready_.size()), timeout_ms);
    if (count < 0 && errno != EINTR) throw_system_error("epoll_wait");
    dispatch(std::max(count, 0));
    fire_timers();
    if (turn_) again_ = turn_() == Next::turn_again;
}

/// Rounded up: a round that ends just before a timer is due would need a second round for the timer.
int EventLoop::wait_timeout_ms(Nanoseconds limit) const noexcept {
    using std::chrono::milliseconds;
    constexpr auto never = Nanoseconds::max();
    Nanoseconds wait = limit < Nanoseconds::zero() ? never : limit;
    Nanoseconds first = never;
    for (const Timer* timer : timers_)
        if (timer != nullptr && timer->armed_) first = std::min(first, timer->deadline_);
    if (first != never) wait = std::min(wait, std::max(first - clock_.coarse(), Nanoseconds::zero()));
    if (wait == never) return -1;
    const auto whole = std::chrono::duration_cast<milliseconds>(wait);
    const auto rounded_up = whole < wait ? whole + milliseconds{1} : whole;
    return static_cast<int>(std::min<std::int64_t>(rounded_up.count(), std::numeric_limits<int>::max()));
}

/// Calls the handler of the watch or timer that `slot()` points to. A handler may destroy that watch or timer (`slot()`
/// is null from then on), so the handler is moved into this frame for the call and moved back afterwards.
template <class Slot, class... Arguments>
void EventLoop::call_handler(Slot slot, Arguments... arguments) {
    auto running = std::move(slot()->handler_);
    struct PutBack {
        ~PutBack() {
            if (auto* owner = slot()) owner->handler_ = std::move(handler);
        }
        Slot& slot;
        decltype(running)& handler;
    } put_back{slot, running};
    running(arguments...);
}

void EventLoop::dispatch(int count) {
    for (std::size_t index = 0; index < static_cast<std::size_t>(count); ++index) {
        const auto slot = [this, index] { return static_cast<Watch*>(ready_[index].data.ptr); };
        if (slot() != nullptr) call_handler(slot, std::uint32_t{ready_[index].events});
    }
}

void EventLoop::fire_timers() {
    // Timers that a handler arms wait for the next round, so that this round ends. The time is read once: a timer that
    // becomes due while a handler runs waits for the next round too.
    const Nanoseconds now = clock_.coarse();
    for (std::size_t index = 0, count = timers_.size(); index < count; ++index) {
        const auto slot = [this, index] { return timers_[index]; };
        Timer* const timer = slot();
        if (timer == nullptr || !timer->armed_ || timer->deadline_ > now) continue;
        timer->armed_ = false;
        call_handler(slot);
    }
}

}  // namespace blktap
