// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RequestEngine, from the driver's completion to the answer in the ring.
#include <algorithm>
#include <array>
#include <cerrno>

#include "libblktap/base/assert.hpp"
#include "libblktap/base/storage_full.hpp"
#include "libblktap/ring/wire_status.hpp"
#include "tapdisk/request_engine.hpp"

namespace blktap {
namespace {

/// What storage says while the way to it is broken, or the storage itself, and may be mended.
bool storage_failed(std::error_code error) noexcept {
    constexpr std::array errors{EIO,    ETIMEDOUT, ENOLINK,   EREMOTEIO,    ENODEV,   ENXIO,
                                ESTALE, ENOTCONN,  EHOSTDOWN, EHOSTUNREACH, ENETDOWN, ENETUNREACH};
    return error.category() == std::system_category() && std::ranges::find(errors, error.value()) != errors.end();
}

}  // namespace

void RequestEngine::on_complete(ImageRequest& image, std::error_code error) noexcept {
    RequestSlot& slot = slot_of(image);
    slot.engine->completed(slot, error);
}

void RequestEngine::completed(RequestSlot& slot, std::error_code error) noexcept {
    BLKTAP_ASSERT(in_driver_ > 0);
    --in_driver_;
    // Of two flushes under way together the kernel tells only one that it failed.
    if (!error && slot.image.kind == ImageRequest::Kind::flush && flush_failed_) error = Errc::image_failed;
    if (error) return failed(slot, error);
    const bool has_data = slot.judged.range.count > 0;
    switch (slot.phase) {
        case RequestSlot::Phase::flush_before:
            if (!has_data) return finish(slot, {});
            slot.phase = RequestSlot::Phase::data;
            return ready(slot);
        case RequestSlot::Phase::data:
            if (slot.reads() && slot.memory == RequestSlot::Memory::pooled) return delivering_.push_back(slot);
            if (!has_data || slot.judged.operation == ring::Operation::write ||
                slot.judged.operation == ring::Operation::discard || slot.reads()) {
                return finish(slot, {});
            }
            slot.phase = RequestSlot::Phase::flush_after;
            return starting_.push_back(slot);
        case RequestSlot::Phase::flush_after:
            return finish(slot, {});
    }
}

void RequestEngine::failed(RequestSlot& slot, std::error_code error) noexcept {
    if (error == Errc::unexpected_end_of_file) image_cut_ = true;
    const RequestSlot::Lack lack = lack_of(slot, error);
    if (lack != RequestSlot::Lack::nothing) return park(slot, lack);
    if (slot.lack != RequestSlot::Lack::nothing) ++stats_.gave_up;
    if (slot.image.kind != ImageRequest::Kind::flush) return finish(slot, error);

    // What the kernel failed to write back it may report once only: a second flush that succeeds would prove nothing.
    writes_refused_ = true;
    flush_failed_ = true;
    if (!slot.plain_flush() || closing_) return finish(slot, error);
    // An error to an empty flush makes a Linux frontend believe that there is nothing to flush: say nothing instead.
    hold(slot);
}

/// Nothing waits for a flush that may never be answered.
void RequestEngine::hold(RequestSlot& slot) noexcept {
    leave_order(slot);
    count_waiting(slot, RequestSlot::Lack::nothing);
    held_.push_back(slot);
}

void RequestEngine::leave_order(RequestSlot& slot) noexcept {
    live_.erase(LiveList::s_iterator_to(slot));
    order_.finished(slot, live_, [this](RequestSlot& next) { ordered_.push_back(next); });
}

/// What `slot` should wait for instead of being answered with `error`.
RequestSlot::Lack RequestEngine::lack_of(const RequestSlot& slot, std::error_code error) const noexcept {
    using Lack = RequestSlot::Lack;
    if (closing_) return Lack::nothing;
    if (storage_full(error)) {
        // An empty flush never ends in an error: see hold().
        if (slot.lack == Lack::nothing || !policy_.no_space_timeout || slot.plain_flush()) return Lack::space;
        return clock_.now() - slot.waits_since < *policy_.no_space_timeout ? Lack::space : Lack::nothing;
    }
    // Not a flush: a second one that succeeds proves nothing.
    const bool may_be_mended = storage_failed(error) || error == Errc::unexpected_end_of_file;
    const bool held = policy_.hold_errors && slot.image.kind != ImageRequest::Kind::flush && may_be_mended;
    return held ? Lack::health : Lack::nothing;
}

void RequestEngine::park(RequestSlot& slot, RequestSlot::Lack lack) noexcept {
    guest_.release(slot);
    memory_exhausted_ = false;
    ++stats_.parked;
    if (slot.lack == RequestSlot::Lack::nothing) slot.waits_since = clock_.now();
    count_waiting(slot, lack);
    if (slot.claim.is_linked()) ranges_.order(slot.claim);
    parked_.push_back(slot);
}

/// Counts `slot` among those that wait for `lack`, and no longer where it was.
void RequestEngine::count_waiting(RequestSlot& slot, RequestSlot::Lack lack) noexcept {
    if (slot.lack == RequestSlot::Lack::space) --waiting_.for_space;
    if (slot.lack == RequestSlot::Lack::health) --waiting_.for_health;
    slot.lack = lack;
    if (lack == RequestSlot::Lack::space) ++waiting_.for_space;
    if (lack == RequestSlot::Lack::health) ++waiting_.for_health;
}

void RequestEngine::deliver_read_data() noexcept {
    if (delivering_.empty()) return;
    for (RequestSlot& slot : delivering_)
        guest_.add_copy(slot);
    guest_.copy_all();
    ++stats_.read_copies;
    while (!delivering_.empty()) {
        RequestSlot& slot = delivering_.front();
        delivering_.pop_front();
        finish(slot, guest_.next_copy_result(slot));
    }
}

void RequestEngine::finish(RequestSlot& slot, std::error_code error) noexcept {
    if (slot.memory == RequestSlot::Memory::pooled) memory_exhausted_ = false;
    guest_.release(slot);
    if (slot.claim.is_linked()) {
        ranges_.release(slot.claim, [this](RangeGuard::Claim& claim) { ranged_.push_back(slot_of(claim)); });
    }
    if (slot.LiveHook::is_linked()) leave_order(slot);
    count_waiting(slot, RequestSlot::Lack::nothing);
    slot.result = error;
    count(slot);
    queues_[slot.queue].answers.push_back(slot);
}

void RequestEngine::count(const RequestSlot& slot) noexcept {
    OperationStats* stats = nullptr;
    switch (static_cast<ring::Operation>(slot.raw->response_operation())) {
        case ring::Operation::read:
            stats = &stats_.read;
            break;
        case ring::Operation::write:
            stats = &stats_.write;
            break;
        case ring::Operation::write_barrier:
            stats = &stats_.barrier;
            break;
        case ring::Operation::flush_diskcache:
            stats = &stats_.flush;
            break;
        case ring::Operation::discard:
            stats = &stats_.discard;
            break;
        case ring::Operation::indirect:
            return;
    }
    if (stats == nullptr) return;  // an operation that nobody knows
    ++stats->requests;
    stats->sectors += slot.judged.range.count;
    if (slot.result) ++stats->errors;
}

void RequestEngine::answer() noexcept {
    for (ConnectionQueue& queue : queues_) {
        if (!queue.answers.empty()) answer(queue);
    }
}

void RequestEngine::answer(ConnectionQueue& queue) noexcept {
    answered_ = true;
    queue.publishing.clear();
    for (const RequestSlot& slot : queue.answers) {
        queue.ring().put_response({slot.raw->id, slot.raw->response_operation(), ring::wire_status(slot.result)});
        queue.publishing.push_back(slot.index);
    }
    queue.log().begin_publish(queue.ring().responses_published(), queue.ring().responses_put(), queue.publishing);
    const bool notify = queue.ring().publish();
    queue.log().end_publish();
    queue.answers.clear_and_dispose([&queue](RequestSlot* slot) { queue.free_slot(*slot); });
    if (notify) {
        queue.channel().notify();
        ++stats_.notifies;
    }
}

bool RequestEngine::quiet() const noexcept {
    const bool answered = std::ranges::all_of(queues_, [](const auto& queue) { return queue.answers.empty(); });
    const bool nothing_starts =
        paused_ ? true : starting_.empty() && memory_.empty() && ordered_.empty() && ranged_.empty();
    return in_driver_ == 0 && delivering_.empty() && answered && nothing_starts;
}

bool RequestEngine::idle() const noexcept {
    return in_flight() == 0 && quiet();
}

void RequestEngine::note_turn(const EngineStats& before, std::uint64_t submits_before, Nanoseconds began) noexcept {
    ++stats_.turns;
    const auto raise = [](std::uint64_t& most, std::uint64_t value) { most = std::max(most, value); };
    raise(stats_.turn_max.submits, io_.stats().submits - submits_before);
    raise(stats_.turn_max.descriptor_copies, stats_.descriptor_copies - before.descriptor_copies);
    raise(stats_.turn_max.write_copies, stats_.write_copies - before.write_copies);
    raise(stats_.turn_max.read_copies, stats_.read_copies - before.read_copies);
    raise(stats_.turn_max.notifies, stats_.notifies - before.notifies);
    raise(stats_.longest_turn_ns, static_cast<std::uint64_t>((clock_.coarse() - began).count()));
}

}  // namespace blktap
