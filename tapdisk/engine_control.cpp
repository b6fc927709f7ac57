// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RequestEngine: images that come and go, the end of a connection, and what waits meanwhile.
#include <algorithm>
#include <utility>

#include "libblktap/base/assert.hpp"
#include "tapdisk/request_engine.hpp"

namespace blktap {
namespace {

std::error_code error_of(RequestSlot::Lack lack) noexcept {
    return std::make_error_code(lack == RequestSlot::Lack::space ? std::errc::no_space_on_device : std::errc::io_error);
}

}  // namespace

void RequestEngine::set_image(ImageDriver& driver) noexcept {
    driver_ = &driver;
    write_alignment_bytes_ = driver.info().write_alignment_bytes;
    guest_.set_image(driver.info());
    writes_refused_ = false;
    image_cut_ = false;
    paused_ = false;
    begin_again();
}

/// Sends every request that has not started back to where it claims its range and its memory: both depend on the image.
void RequestEngine::begin_again() noexcept {
    BLKTAP_ASSERT(in_driver_ == 0 && delivering_.empty());
    for (RequestSlot& slot : live_) {
        if (slot.claim.is_linked() && slot.claim.waiting) ordered_.push_back(slot);
    }
    for (StageList* list : {&ranged_, &memory_, &starting_, &postponed_, &parked_}) {
        for (RequestSlot& slot : *list)
            guest_.release(slot);
        ordered_.splice(ordered_.end(), *list);
    }
    // In the order in which they were taken: what waited for a parked write must not overtake it.
    ordered_.sort([](const RequestSlot& a, const RequestSlot& b) { return a.sequence < b.sequence; });
    ranges_.clear();  // all that claimed a range are in `ordered_` now
}

void RequestEngine::pause() noexcept {
    paused_ = true;
}

void RequestEngine::clear_image() noexcept {
    BLKTAP_ASSERT(quiet() && paused_);
    driver_ = nullptr;
    if (closing_) abandon_waiting();
}

void RequestEngine::close() noexcept {
    taking_ = false;
    fail_stranded();
    starting_.splice(starting_.begin(), postponed_);
    if (driver_ == nullptr) abandon_waiting();
}

void RequestEngine::drain(bool fail) noexcept {
    fail_stranded();
    failing_ = fail || paused_;
    if (failing_) abandon_waiting();
}

void RequestEngine::wake_frontends() noexcept {
    for (ConnectionQueue& queue : queues_)
        queue.channel().notify();
}

/// Answers what waits for the storage: nobody will try it again.
void RequestEngine::fail_stranded() noexcept {
    closing_ = true;
    while (!parked_.empty()) {
        RequestSlot& slot = take_first(parked_);
        ++stats_.gave_up;
        finish(slot, error_of(slot.lack));
    }
    while (!held_.empty())
        finish(take_first(held_), Errc::image_failed);
}

/// Answers everything that waits to be given to an image.
void RequestEngine::abandon_waiting() noexcept {
    const auto end = [this](RequestSlot& slot) { finish(slot, Errc::wrong_state); };
    order_.abandon(end);
    // The end of one lets others go on to the lists before it: until all are empty.
    for (bool any = true; std::exchange(any, false);) {
        for (StageList* list : {&ordered_, &ranged_, &memory_, &starting_, &postponed_}) {
            for (; !list->empty(); any = true)
                end(take_first(*list));
        }
    }
}

void RequestEngine::retry_parked() noexcept {
    while (!parked_.empty())
        ranged_.push_back(take_first(parked_));  // a flush may have failed meanwhile: then they are refused there
}

Nanoseconds RequestEngine::waiting_since() const noexcept {
    Nanoseconds first = clock_.now();
    for (const RequestSlot& slot : live_) {
        if (slot.lack != RequestSlot::Lack::nothing) first = std::min(first, slot.waits_since);
    }
    return first;
}

void RequestEngine::accept_loss() noexcept {
    flush_failed_ = false;
    while (!held_.empty())
        finish(take_first(held_), Errc::image_failed);
}

void RequestEngine::trim() noexcept {
    if (!live_.empty()) return;
    guest_.trim();
    for (ConnectionQueue& queue : queues_)
        queue.trim();
}

}  // namespace blktap
