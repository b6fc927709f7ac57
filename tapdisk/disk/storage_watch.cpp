// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/disk/storage_watch.hpp"

#include <algorithm>
#include <utility>

#include "tapdisk/disk/retry_delays.hpp"

namespace blktap {
namespace {

// A query costs a worker some microseconds. While requests wait for space, a second is soon enough, since somebody has
// to delete files first; otherwise the warning comes in time even if gigabytes are written each second.
constexpr Nanoseconds space_delay_waiting = std::chrono::seconds(1);
constexpr Nanoseconds space_delay_traffic = std::chrono::seconds(5);
/// Storage that works ends a flush sooner. One that is tried again by the kernel, on another path or after a reset,
/// takes longer, and may end with an error.
constexpr Nanoseconds flush_late_after = std::chrono::seconds(20);

}  // namespace

StorageWatch::StorageWatch(EventLoop& loop, WorkerPool& workers, IoQueue& io, Scheduler& scheduler,
                           StorageHealth& health, std::function<ImageDriver*()> driver)
    : loop_(loop),
      io_(io),
      scheduler_(scheduler),
      health_(health),
      driver_(std::move(driver)),
      space_(workers, [this](const SpaceWatch::Space& space) { told_space(space); }),
      kernel_timer_(loop, [this] { retry_refused(); }),
      retry_timer_(loop, [this] { try_again(); }),
      space_timer_(loop, [this] { ask_for_space(); }),
      flush_timer_(loop, [this] { note_late_flush(); }),
      retry_delay_(retry_delay_min),
      kernel_delay_(kernel_delay_min) {}

void StorageWatch::look() {
    if (io_.refused_count() != 0 || refused_since_) look_at_refused();
    look_at_parked();
    if (scheduler_.stats().flushes() || health_.flush_late()) look_at_flushes();
}

void StorageWatch::look_at_flushes() {
    if (health_.flush_late() && scheduler_.stats().flushes_ended != flushes_ended_) health_.set_flush_late(false);
    if (flush_timer_.armed() || health_.flush_late()) return;
    flushes_ended_ = scheduler_.stats().flushes_ended;
    flush_timer_.arm(flush_late_after);
}

void StorageWatch::note_late_flush() {
    if (!scheduler_.stats().flushes() || scheduler_.stats().flushes_ended != flushes_ended_) return;
    health_.set_flush_late(true);
}

void StorageWatch::look_at_refused() {
    if (io_.refused_count() == 0) {
        kernel_delay_ = kernel_delay_min;
        refused_since_.reset();
        return;
    }
    if (!refused_since_) refused_since_ = loop_.clock().now();
    if (io_.needs_retry_timer() && !kernel_timer_.armed()) kernel_timer_.arm(kernel_delay_);
}

bool StorageWatch::refused_for_long() const noexcept {
    return refused_since_ && loop_.clock().coarse() - *refused_since_ >= refused_problem_after;
}

void StorageWatch::retry_refused() noexcept {
    kernel_delay_ = std::min(kernel_delay_ * 2, kernel_delay_max);
    io_.retry();
}

void StorageWatch::look_at_parked() {
    const StorageHealth::Waiting& waiting = health_.waiting();
    if (waiting == StorageHealth::Waiting{}) {
        retry_delay_ = retry_delay_min;
    } else if (!retry_timer_.armed()) {
        retry_timer_.arm(next_retry());
    }
    if (waiting.for_space == 0) least_free_bytes_.reset();
    if (space_timer_.armed()) return;
    if (waiting.for_space > 0) {
        space_timer_.arm(space_delay_waiting);
    } else if (scheduler_.taken() != taken_at_space_check_) {
        space_timer_.arm(space_delay_traffic);
    }
}

/// At most the time until the oldest request times out, so that it is tried a last time.
Nanoseconds StorageWatch::next_retry() const {
    const auto& timeout = scheduler_.parking().policy().no_space_timeout;
    if (!timeout) return retry_delay_;
    const Nanoseconds left = *timeout - scheduler_.oldest_wait();
    return left > Nanoseconds{0} ? std::min(left, retry_delay_) : retry_delay_;
}

void StorageWatch::try_again() {
    retry_delay_ = std::min(retry_delay_ * 2, retry_delay_max);
    if (driver_() != nullptr) scheduler_.retry_parked();
}

void StorageWatch::ask_for_space() {
    taken_at_space_check_ = scheduler_.taken();
    ImageDriver* const driver = driver_();
    const auto source = driver != nullptr ? driver->space() : std::nullopt;
    if (source) space_.ask(*source);
}

void StorageWatch::image_opened() {
    ImageDriver* const driver = driver_();
    const auto source = driver != nullptr ? driver->space() : std::nullopt;
    if (!source) return;
    if (const auto space = SpaceWatch::look({source->fd, 0})) told_space(*space);
}

void StorageWatch::told_space(const SpaceWatch::Space& space) {
    // With a margin, so that the warning does not come and go at the limit.
    const std::uint64_t free_bytes = low_space_ ? space.free_bytes / 5 * 4 : space.free_bytes;
    low_space_ = scheduler_.parking().policy().is_low(free_bytes, space.total_bytes);
    if (space.file_cut) health_.cut_image();
    if (health_.waiting().for_space == 0) return;
    const bool more = least_free_bytes_ && space.free_bytes > *least_free_bytes_;
    least_free_bytes_ = space.free_bytes;
    if (more && driver_() != nullptr) scheduler_.retry_parked();
}

}  // namespace blktap
