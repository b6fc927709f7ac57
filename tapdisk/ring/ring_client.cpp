// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/ring/ring_client.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "libblktap/base/assert.hpp"
#include "tapdisk/ring/named_store.hpp"
#include "tapdisk/ring/trace_recorder.hpp"

namespace blktap {
namespace {

std::error_code taken_away() noexcept {
    return std::make_error_code(std::errc::no_such_device);
}

DiskRequest::Kind kind_of(ring::Operation operation) noexcept {
    using Kind = DiskRequest::Kind;
    // Indexed by ring::Operation; the judge refuses all other values, and 4 is no operation.
    static constexpr std::array kinds{Kind::read, Kind::write, Kind::barrier, Kind::flush, Kind::flush, Kind::discard};
    static_assert(static_cast<int>(ring::Operation::read) == 0 && static_cast<int>(ring::Operation::write) == 1 &&
                  static_cast<int>(ring::Operation::write_barrier) == 2 &&
                  static_cast<int>(ring::Operation::flush_diskcache) == 3 &&
                  static_cast<int>(ring::Operation::discard) == 5);
    return kinds[static_cast<std::size_t>(operation)];
}

bool flushes(const ring::RawRequest& request) noexcept {
    const auto operation = static_cast<ring::Operation>(request.response_operation());
    return operation == ring::Operation::flush_diskcache || operation == ring::Operation::write_barrier;
}

/// Whether data in the pool must be copied to the frontend.
bool to_be_delivered(const RequestSlot& slot) noexcept {
    return slot.memory == RequestSlot::Memory::pooled && slot.reads() && !slot.result;
}

}  // namespace

RingClient::RingClient(Scheduler& scheduler, PeerMemory& memory, std::vector<ConnectionQueue> queues, RecoveryLog log,
                       const Options& options)
    : scheduler_(scheduler),
      rules_(options.rules),
      log_(std::move(log)),
      queues_(std::move(queues)),
      guest_(memory, options.data) {
    for (std::size_t i = 0; i < queues_.size(); ++i)
        queues_[i].make_slots(*this, static_cast<std::uint16_t>(i), log_.queue(i));
    std::uint64_t last_sequence = options.adopt ? log_.kept().lost_until : 0;
    for (ConnectionQueue& queue : queues_) {
        if (!options.adopt) break;
        queue.adopt([&](RequestSlot& slot) {
            adopted_.push_back(slot);
            last_sequence = std::max(last_sequence, slot.sequence);
        });
        if (queue.ring().stopped()) ++stats_.stopped_queues;
    }
    stats_.adopted = adopted_.size();
    scheduler_.join(*this, last_sequence);
}

RingClient::~RingClient() {
    BLKTAP_ASSERT(quiet());
    scheduler_.leave(*this);
}

void RingClient::set_image(ImageDriver& driver) {
    for (ConnectionQueue& queue : queues_)
        queue.set_image(driver);
    guest_.set_image(driver.info());
}

void RingClient::clear_image() noexcept {
    for (ConnectionQueue& queue : queues_)
        queue.clear_image();
}

/// Whether to take requests: while the pool has no memory for their data, they wait in the ring.
bool RingClient::takes() const noexcept {
    return taking_ && (failing() || (!scheduler_.paused() && wanting_.empty()));
}

bool RingClient::rearm() noexcept {
    if (!takes()) return false;
    bool waiting = false;
    for (ConnectionQueue& queue : queues_) {
        if (!queue.ring().stopped()) waiting = queue.ring().rearm() || waiting;
    }
    return waiting;
}

bool RingClient::request_waiting() const noexcept {
    return takes() && std::ranges::any_of(queues_, [](const ConnectionQueue& queue) {
               return !queue.ring().stopped() && queue.ring().request_waiting();
           });
}

void RingClient::take() noexcept {
    before_ = {stats_.descriptor_copies, stats_.write_copies, stats_.read_copies, stats_.notifies};
    more_requests_ = false;
    if (!takes()) return;
    for (std::size_t i = 0, next = first_queue_; i < queues_.size(); ++i) {
        ConnectionQueue& queue = queues_[next];
        if (++next == queues_.size()) next = 0;
        if (queue.ring().stopped()) continue;
        const auto pending = queue.ring().pending_requests();
        if (!pending) {
            ++stats_.stopped_queues;
            continue;
        }
        const std::uint32_t count = std::min(pending.value(), queue_budget);
        for (std::uint32_t left = count; left > 0; --left)
            take(queue);
        more_requests_ = more_requests_ || pending.value() > count;
    }
    if (++first_queue_ == queues_.size()) first_queue_ = 0;
    if (!taken_.empty()) fetch_descriptors();
}

inline void RingClient::accept(RequestSlot& slot) noexcept {
    if (recorder_ != nullptr) recorder_->note(slot, false);
    scheduler_.admit(slot);
}

inline void RingClient::enter(ConnectionQueue& queue, RequestSlot& slot) noexcept {
    if (failing()) return reject(slot, taken_away());
    const auto judged = ring::judge(*slot.raw, rules_);
    if (!judged) return reject(slot, judged.error());
    slot.kind = kind_of(judged.value().operation);
    slot.range = judged.value().range;
    slot.needs_descriptors = judged.value().needs_descriptors;
    if (slot.needs_descriptors) {
        slot.segments = queue.use_large_tables(slot, judged.value().segment_count);
    } else {
        slot.segments = std::span(slot.raw->segments).first(judged.value().segment_count);
        if (taken_.empty()) return accept(slot);
    }
    // Direct and indirect requests in one list: for a barrier they must keep the order in which they were taken.
    taken_.push_back(slot);
}

void RingClient::take(ConnectionQueue& queue) noexcept {
    RequestSlot& slot = queue.take_slot();
    const std::uint32_t ring_index = queue.ring().consumed();
    slot.sequence = scheduler_.next_sequence();
    slot.raw = &queue.log().record(slot.index, ring_index, slot.sequence, queue.ring().consume());
    queue.log().advance(ring_index + 1);
    ++stats_.taken;
    enter(queue, slot);
}

void RingClient::readmit(DiskRequest& request) noexcept {
    RequestSlot& slot = slot_of(request);
    // It was held when the operator accepted the loss: an answer of success would be a lie.
    if (flushes(*slot.raw) && slot.sequence <= log_.kept().lost_until) return reject(slot, Errc::image_failed);
    enter(queues_[slot.queue], slot);
    if (!taken_.empty()) fetch_descriptors();
    BLKTAP_STORED("request-readmitted");
}

void RingClient::fetch_descriptors() noexcept {
    for (DiskRequest& request : taken_) {
        RequestSlot& slot = slot_of(request);
        slot.copy_count = 0;
        if (!slot.needs_descriptors) continue;
        const auto table = queues_[slot.queue].use_large_tables(slot, slot.segments.size());
        if (!guest_.read_mapped_descriptors(slot, table)) guest_.add_descriptors(slot, table);
    }
    const std::uint64_t copies_before = guest_.copy_calls();
    guest_.copy_all();
    stats_.descriptor_copies += guest_.copy_calls() - copies_before;

    while (!taken_.empty()) {
        RequestSlot& slot = slot_of(take_first(taken_));
        const std::error_code error = slot.needs_descriptors ? judge_descriptors(slot) : std::error_code{};
        if (error) {
            reject(slot, error);
        } else {
            accept(slot);
        }
    }
}

std::error_code RingClient::judge_descriptors(RequestSlot& slot) noexcept {
    if (slot.copy_count > 0) {
        if (const std::error_code error = guest_.next_copy_result(slot)) {
            slot.segments = {};
            return error;
        }
    }
    const auto judged = ring::judge_indirect(*slot.raw, slot.segments, rules_);
    if (!judged) return judged.error();
    slot.kind = kind_of(judged.value().operation);
    slot.range = judged.value().range;
    return {};
}

void RingClient::reject(RequestSlot& slot, std::error_code error) noexcept {
    if (recorder_ != nullptr) recorder_->note(slot, true);
    ++stats_.rejected;
    slot.result = error;
    finished_.push_back(slot);
}

void RingClient::provide() noexcept {
    starved_ = false;
    if (wanting_.empty() || scheduler_.paused()) return;
    for (std::size_t left = Scheduler::turn_budget; left > 0 && !wanting_.empty(); --left) {
        RequestSlot& slot = slot_of(wanting_.front());
        const auto prepared = guest_.prepare(slot);
        if (prepared == GuestData::Prepared::no_memory) {
            starved_ = true;
            ++stats_.waited_for_memory;
            break;
        }
        wanting_.pop_front();
        if (prepared == GuestData::Prepared::by_copy && !slot.reads()) {
            fetching_.push_back(slot);
        } else {
            scheduler_.begin(slot);
        }
    }
    if (!fetching_.empty()) fetch_written_data();
}

void RingClient::fetch_written_data() noexcept {
    for (DiskRequest& request : fetching_)
        guest_.add_copy(slot_of(request));
    guest_.copy_all();
    ++stats_.write_copies;
    while (!fetching_.empty()) {
        RequestSlot& slot = slot_of(take_first(fetching_));
        if (const std::error_code error = guest_.next_copy_result(slot)) {
            scheduler_.finish(slot, error);
        } else {
            scheduler_.begin(slot);
        }
    }
}

bool RingClient::answer() noexcept {
    const bool any = !finished_.empty();
    if (any) answer_finished();
    note_turn();
    return any;
}

void RingClient::answer_finished() noexcept {
    deliver_read_data();
    while (!finished_.empty()) {
        RequestSlot& slot = slot_of(take_first(finished_));
        if (slot.memory != RequestSlot::Memory::none) take_memory_back(slot);
        count(slot);
        queues_[slot.queue].answer(slot);
    }
    for (ConnectionQueue& queue : queues_) {
        if (queue.has_answers() && queue.publish()) ++stats_.notifies;
    }
}

void RingClient::deliver_read_data() noexcept {
    bool any = false;
    for (DiskRequest& request : finished_) {
        RequestSlot& slot = slot_of(request);
        if (!to_be_delivered(slot)) continue;
        guest_.add_copy(slot);
        any = true;
    }
    if (!any) return;
    guest_.copy_all();
    ++stats_.read_copies;
    for (DiskRequest& request : finished_) {
        RequestSlot& slot = slot_of(request);
        if (to_be_delivered(slot)) slot.result = guest_.next_copy_result(slot);
    }
}

void RingClient::take_memory_back(DiskRequest& request) noexcept {
    RequestSlot& slot = slot_of(request);
    if (slot.memory == RequestSlot::Memory::pooled) starved_ = false;
    guest_.release(slot);
}

void RingClient::count(const RequestSlot& slot) noexcept {
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
    if (stats == nullptr) return;  // an unknown operation
    ++stats->requests;
    stats->sectors += slot.range.count;
    if (slot.result) ++stats->errors;
}

void RingClient::note_turn() noexcept {
    const auto raise = [](std::uint64_t& most, std::uint64_t value) { most = std::max(most, value); };
    raise(stats_.turn_most.descriptor_copies, stats_.descriptor_copies - before_.descriptor_copies);
    raise(stats_.turn_most.write_copies, stats_.write_copies - before_.write_copies);
    raise(stats_.turn_most.read_copies, stats_.read_copies - before_.read_copies);
    raise(stats_.turn_most.notifies, stats_.notifies - before_.notifies);
}

void RingClient::close() noexcept {
    taking_ = false;
    scheduler_.close(*this);
}

void RingClient::wake_frontend() noexcept {
    for (ConnectionQueue& queue : queues_)
        queue.signal().notify();
}

void RingClient::trim() noexcept {
    if (!idle()) return;
    guest_.trim();
    for (ConnectionQueue& queue : queues_)
        queue.trim();
}

}  // namespace blktap
