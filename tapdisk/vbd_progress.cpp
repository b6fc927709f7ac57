// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Vbd: what is looked at each turn and from time to time, and what the operator is told of it: each change once.
#include <algorithm>
#include <array>
#include <ctime>

#include "libblktap/base/log.hpp"
#include "tapdisk/retry_delays.hpp"
#include "tapdisk/vbd.hpp"

namespace blktap {
namespace {

constexpr Nanoseconds idle_before_trim = std::chrono::seconds(2);
// Asking costs a worker some microseconds. Short of space, a second is soon enough for a guest that waits for somebody
// to delete something; otherwise the warning comes in time for a disk that fills gigabytes a second.
constexpr Nanoseconds space_delay_waiting = std::chrono::seconds(1);
constexpr Nanoseconds space_delay_traffic = std::chrono::seconds(5);

const std::array<ipc::Problem, 6> possible_problems = {{
    {"no-space", 0, "no space on the host: writes wait"},
    {"io-error", 0, "the storage fails: requests wait"},
    {"flush-failed", 0, "a flush failed: writes are refused, flushes are held"},
    {"low-space", 0, "little space is left on the host"},
    {"storage-busy", 0, "the storage says \"not now\" (EAGAIN) again and again: requests wait"},
    {"file-cut", 0, "a file of the image became shorter: requests fail until it is opened again"},
}};

}  // namespace

EventLoop::Next Vbd::turn() noexcept {
    EventLoop::Next next = EventLoop::Next::sleep;
    if (connection_) {
        next = connection_->turn();
    } else {
        io_.submit_staged();
        io_.reap();
        if (io_.can_submit() || io_.reap_left()) next = EventLoop::Next::turn_again;
    }
    watch_progress();
    if (flush_result_) {
        close_flushed_image();
        next = EventLoop::Next::turn_again;
    }
    if (ending_ != Ending::none && ended()) {
        finish_ending();
        // What finishing staged, a flush say, needs a turn of its own.
        next = EventLoop::Next::turn_again;
    }
    return next;
}

void Vbd::watch_progress() {
    if (io_.refused_count() != 0 || refused_since_) watch_refused();
    report_changes();
    if (!connection_) return;
    const RequestEngine& engine = connection_->engine();
    if (engine.taken() != requests_at_idle_check_ && !idle_timer_.armed()) arm_idle_timer(engine);
    watch_waiting(engine);
}

void Vbd::watch_refused() {
    if (io_.refused_count() == 0) {
        kernel_delay_ = kernel_delay_min;
        refused_since_.reset();
        return;
    }
    if (!refused_since_) refused_since_ = loop_.clock().now();
    if (io_.needs_retry_timer() && !kernel_timer_.armed()) kernel_timer_.arm(kernel_delay_);
}

void Vbd::retry_refused() noexcept {
    kernel_delay_ = std::min(kernel_delay_ * 2, kernel_delay_max);
    io_.retry();
}

void Vbd::arm_idle_timer(const RequestEngine& engine) {
    requests_at_idle_check_ = engine.taken();
    idle_timer_.arm(idle_before_trim);
}

void Vbd::trim_when_idle(RequestEngine& engine) {
    if (engine.taken() == requests_at_idle_check_ && engine.in_flight() == 0) {
        engine.trim();
    } else {
        arm_idle_timer(engine);
    }
}

void Vbd::watch_waiting(const RequestEngine& engine) {
    if (engine.waiting() == RequestEngine::Waiting{}) {
        retry_delay_ = retry_delay_min;
    } else if (!retry_timer_.armed()) {
        retry_timer_.arm(next_retry(engine));
    }
    const bool for_space = engine.waiting().for_space > 0;
    if (!for_space) least_free_bytes_.reset();
    if (space_timer_.armed()) return;
    if (for_space) {
        space_timer_.arm(space_delay_waiting);
    } else if (engine.taken() != requests_at_space_check_) {
        space_timer_.arm(space_delay_traffic);
    }
}

/// A request whose time is up has a last try.
Nanoseconds Vbd::next_retry(const RequestEngine& engine) const {
    if (!policy_.no_space_timeout) return retry_delay_;
    const Nanoseconds left = engine.waiting_since() + *policy_.no_space_timeout - loop_.clock().now();
    return left > Nanoseconds{0} ? std::min(left, retry_delay_) : retry_delay_;
}

void Vbd::try_again() {
    retry_delay_ = std::min(retry_delay_ * 2, retry_delay_max);
    if (connection_ && state_ == State::open && ending_ == Ending::none) connection_->engine().retry_parked();
}

void Vbd::watch_space() {
    if (connection_) requests_at_space_check_ = connection_->engine().taken();
    // An ending closes the file.
    if (driver_ && driver_->space_fd() >= 0 && ending_ == Ending::none)
        space_.ask(driver_->space_fd(), driver_->least_file_bytes());
}

/// When an image has just been opened, which may block.
void Vbd::look_at_space() {
    if (driver_->space_fd() < 0) return;
    if (const auto space = SpaceWatch::look(driver_->space_fd())) told_space(*space);
}

void Vbd::told_space(const SpaceWatch::Space& space) {
    // With a margin, so that a disk at the limit is not reported again and again.
    low_space_ = policy_.is_low(low_space_ ? space.free_bytes / 5 * 4 : space.free_bytes, space.total_bytes);
    if (space.file_cut) {
        image_cut_ = true;
        if (connection_) connection_->engine().set_image_cut();
    }
    if (!connection_ || connection_->engine().waiting().for_space == 0) return;
    const bool more = least_free_bytes_ && space.free_bytes > *least_free_bytes_;
    least_free_bytes_ = space.free_bytes;
    if (more && state_ == State::open && ending_ == Ending::none) connection_->engine().retry_parked();
}

/// Called each turn: texts are made only when there is something to say.
void Vbd::report_changes() {
    const RequestEngine* engine = connection_ ? &connection_->engine() : nullptr;
    if (engine != nullptr && engine->stats().stopped_queues != reported_stopped_queues_) {
        reported_stopped_queues_ = engine->stats().stopped_queues;
        log::error("ring.stopped", {{"domain", std::to_string(connection_->frontend().domain)},
                                    {"reason", "request producer more than a ring ahead"}});
    }
    const RequestEngine::Waiting waiting = engine != nullptr ? engine->waiting() : RequestEngine::Waiting{};
    const bool flush_failed = engine != nullptr ? engine->flush_failed() : flush_failed_;
    const bool refused = refused_since_ && loop_.clock().coarse() - *refused_since_ >= refused_problem_after;
    const bool cut = image_cut_ || (engine != nullptr && engine->image_cut());
    const std::array<bool, possible_problems.size()> now = {
        waiting.for_space > 0, waiting.for_health > 0, flush_failed, low_space_ && driver_ != nullptr, refused, cut};
    unsigned wrong = 0;
    for (std::size_t i = 0; i < now.size(); ++i)
        wrong |= unsigned{now[i]} << i;
    if (wrong == wrong_) return;
    wrong_ = wrong;
    ipc::Problems problems;
    for (std::size_t i = 0; i < now.size(); ++i)
        if (now[i]) problems.problems.push_back(possible_problems[i]);
    for (ipc::Problem& problem : problems.problems)
        problem.since = static_cast<std::uint64_t>(std::time(nullptr));
    problems_.see(problems, loop_.clock().now());
    tell_problems();
}

/// A guest decides how often things go wrong and get well again: not each time is told.
void Vbd::tell_problems() {
    const auto changes = problems_.take(loop_.clock().now());
    for (const auto& [problem, begins] : changes) {
        if (begins) {
            log::warning("problem", {{"image", image_.path}, {"name", problem.name}, {"state", problem.text}});
        } else {
            log::info("problem.over", {{"image", image_.path}, {"name", problem.name}});
        }
    }
    if (!changes.empty()) problems_changed_();
    const Nanoseconds now = loop_.clock().now();
    if (const auto next = problems_.next(now)) problem_timer_.arm(*next - now);
}

/// Whether the frontend whose rings are being emptied has sent its last request.
void Vbd::look_at_drain() {
    RequestEngine& engine = connection_->engine();
    const Nanoseconds now = loop_.clock().now();
    const bool quiet = engine.idle() && std::exchange(drained_, engine.taken()) == engine.taken();
    if (!quiet) quiet_since_ = now;
    if (now - quiet_since_ >= drain_quiet || now >= drain_ends_) return engine.close();
    // A Linux frontend that is told to close stops its queues, and starts them again when it is notified: requests that
    // it had not sent yet would wait for ever, and whoever removes the device with them. When it is told nobody knows.
    engine.wake_frontends();
    drain_timer_.arm(drain_quiet / 2);
}

}  // namespace blktap
