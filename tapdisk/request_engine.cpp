// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The turn and its steps from the ring to the driver. What follows a completion is engine_completion.cpp; what the
// operator and the end of a connection do is engine_control.cpp.
#include "tapdisk/request_engine.hpp"

#include <algorithm>
#include <utility>

#include "libblktap/base/assert.hpp"
#include "libblktap/driver_api/whole_granules.hpp"
#include "tapdisk/trace_recorder.hpp"

namespace blktap {
namespace {

std::error_code taken_away() noexcept {
    return std::make_error_code(std::errc::no_such_device);
}

RangeGuard::Mode mode_of(const RequestSlot& slot) noexcept {
    if (!slot.changes_disk()) return RangeGuard::Mode::shared;
    const bool parked_before = slot.lack != RequestSlot::Lack::nothing;
    return parked_before ? RangeGuard::Mode::ordered_write : RangeGuard::Mode::shared_write;
}

}  // namespace

RequestEngine::RequestEngine(IoQueue& io, xen::GrantTable& grants, const Clock& clock,
                             std::vector<ConnectionQueue> queues, RecoveryLog log, const Options& options)
    : io_(io),
      clock_(clock),
      rules_(options.rules),
      log_(std::move(log)),
      queues_(std::move(queues)),
      guest_(grants, options.data) {
    for (std::size_t i = 0; i < queues_.size(); ++i) {
        queues_[i].make_slots(*this, static_cast<std::uint16_t>(i), log_.queue(i));
    }
}

RequestEngine::~RequestEngine() {
    BLKTAP_ASSERT(quiet());
}

RequestEngine::Next RequestEngine::turn() noexcept {
    const Nanoseconds began = clock_.coarse();
    const EngineStats before = stats_;
    const std::uint64_t submits_before = io_.stats().submits;
    answered_ = false;

    take_requests();
    fetch_descriptors();
    claim_ranges();
    give_memory();
    fetch_written_data();
    start_requests();
    submit();
    io_.reap(queue_budget);
    deliver_read_data();
    answer();

    note_turn(before, submits_before, began);
    return can_go_on() ? Next::turn_again : Next::wait;
}

void RequestEngine::submit() noexcept {
    if (!io_.staged_allocates()) return io_.submit_staged();
    const std::uint64_t allocating_before = io_.stats().allocating_submits;
    const Nanoseconds began = clock_.now();
    io_.submit_staged();
    if (io_.stats().allocating_submits == allocating_before) return;
    stats_.allocation.note(static_cast<std::uint64_t>((clock_.now() - began).count()));
}

bool RequestEngine::can_go_on() const noexcept {
    const bool startable = !paused_ && (!starting_.empty() || (!memory_.empty() && !memory_exhausted_));
    return more_requests_ || startable || !ordered_.empty() || !ranged_.empty() || io_.can_submit() || io_.reap_left();
}

/// A frontend whose data would find no memory waits in its ring, not in ours.
bool RequestEngine::takes() const noexcept {
    return taking_ && (failing_ || (!paused_ && memory_.empty()));
}

bool RequestEngine::rearm() noexcept {
    if (!takes()) return false;
    bool waiting = false;
    for (ConnectionQueue& queue : queues_) {
        if (!queue.ring().stopped()) waiting = queue.ring().rearm() || waiting;
    }
    return waiting;
}

bool RequestEngine::work_waiting() const noexcept {
    if (io_.completion_pending()) return true;
    if (!takes()) return false;
    return std::ranges::any_of(queues_, [](const ConnectionQueue& queue) {
        return !queue.ring().stopped() && queue.ring().request_waiting();
    });
}

void RequestEngine::take_requests() noexcept {
    more_requests_ = false;
    if (!takes()) return;
    for (std::size_t i = 0; i < queues_.size(); ++i) {
        ConnectionQueue& queue = queues_[(first_queue_ + i) % queues_.size()];
        if (queue.ring().stopped()) continue;
        const auto pending = queue.ring().pending_requests();
        if (!pending) {
            ++stats_.stopped_queues;
            continue;
        }
        const std::uint32_t count = std::min(pending.value(), queue_budget);
        for (std::uint32_t taken = 0; taken < count; ++taken)
            take(queue);
        more_requests_ = more_requests_ || pending.value() > count;
    }
    first_queue_ = (first_queue_ + 1) % queues_.size();
}

void RequestEngine::take(ConnectionQueue& queue) noexcept {
    RequestSlot& slot = queue.take_slot();
    const std::uint32_t ring_index = queue.ring().consumed();
    slot.sequence = next_sequence_++;
    slot.raw = &queue.log().record(slot.index, ring_index, slot.sequence, queue.ring().consume());
    queue.log().advance(ring_index + 1);
    live_.push_back(slot);

    if (failing_) return reject(slot, taken_away());
    const auto judged = ring::judge(*slot.raw, rules_);
    if (!judged) return reject(slot, judged.error());
    slot.judged = judged.value();
    taken_.push_back(slot);
}

void RequestEngine::fetch_descriptors() noexcept {
    for (RequestSlot& slot : taken_) {
        slot.copy_count = 0;
        if (!slot.judged.needs_descriptors) {
            slot.segments = std::span(slot.raw->segments).first(slot.judged.segment_count);
            continue;
        }
        const auto table = queues_[slot.queue].use_large_tables(slot, slot.judged.segment_count);
        slot.segments = table;
        if (!guest_.read_mapped_descriptors(slot, table)) guest_.add_descriptors(slot, table);
    }
    const std::uint64_t copies_before = guest_.copy_calls();
    guest_.copy_all();
    stats_.descriptor_copies += guest_.copy_calls() - copies_before;

    // Direct and indirect ones together: a barrier must meet them in the order in which they were taken.
    while (!taken_.empty()) {
        RequestSlot& slot = take_first(taken_);
        const std::error_code error = slot.judged.needs_descriptors ? judge_descriptors(slot) : std::error_code{};
        if (error) {
            reject(slot, error);
        } else {
            accept(slot);
        }
    }
}

std::error_code RequestEngine::judge_descriptors(RequestSlot& slot) noexcept {
    if (slot.copy_count > 0) {
        if (const std::error_code error = guest_.next_copy_result(slot)) {
            slot.segments = {};
            return error;
        }
    }
    const auto judged = ring::judge_indirect(*slot.raw, slot.segments, rules_);
    if (!judged) return judged.error();
    slot.judged = judged.value();
    return {};
}

void RequestEngine::accept(RequestSlot& slot) noexcept {
    if (recorder_ != nullptr) recorder_->note(slot, false);
    const bool barrier = slot.judged.operation == ring::Operation::write_barrier;
    const bool flush = slot.judged.operation == ring::Operation::flush_diskcache;
    slot.drains = barrier;
    // A flush with data is served as a barrier that does not drain: nothing less makes both meanings true.
    slot.phase =
        barrier || (flush && slot.judged.range.count > 0) ? RequestSlot::Phase::flush_before : RequestSlot::Phase::data;
    if (order_.admit(slot, live_)) ordered_.push_back(slot);
}

void RequestEngine::reject(RequestSlot& slot, std::error_code error) noexcept {
    if (recorder_ != nullptr) recorder_->note(slot, true);
    ++stats_.rejected;
    finish(slot, error);
}

/// True when the slot was answered, or put away, instead of going on.
bool RequestEngine::refuse(RequestSlot& slot) noexcept {
    const bool flushes = slot.plain_flush() || slot.phase != RequestSlot::Phase::data;
    if (failing_) {
        finish(slot, taken_away());
    } else if (slot.plain_flush() && flush_failed_ && !closing_) {
        hold(slot);
    } else if (image_cut_) {
        refuse_of_cut_image(slot);
    } else if ((flushes && flush_failed_) || (slot.changes_disk() && writes_refused_)) {
        finish(slot, Errc::image_failed);
    } else {
        return false;
    }
    return true;
}

void RequestEngine::refuse_of_cut_image(RequestSlot& slot) noexcept {
    // An answer to a flush would be about what is lost as well; see failed() for why it is not an error.
    if ((slot.plain_flush() || policy_.hold_errors) && !closing_) return park(slot, RequestSlot::Lack::health);
    finish(slot, Errc::unexpected_end_of_file);
}

void RequestEngine::claim_ranges() noexcept {
    std::size_t left = turn_budget;
    for (; left > 0 && !ranged_.empty(); --left) {
        RequestSlot& slot = take_first(ranged_);
        if (!refuse(slot)) ready(slot);
    }
    for (; left > 0 && !ordered_.empty(); --left) {
        RequestSlot& slot = take_first(ordered_);
        if (refuse(slot)) continue;
        SectorRange range = slot.judged.range;
        const bool discard = slot.judged.operation == ring::Operation::discard;
        if (range.count == 0) {
            ready(slot);
            continue;
        }
        if (discard && discards_nothing(slot)) {
            finish(slot, {});
            continue;
        }
        const bool partial_block = slot.changes_disk() && !discard &&
                                   !is_aligned(range.offset_bytes() | range.length_bytes(), write_alignment_bytes_);
        if (partial_block) {
            const std::uint64_t block_sectors = write_alignment_bytes_ / sector_size_bytes;
            const std::uint64_t first = round_down(range.first, block_sectors);
            range = {first, round_up(range.end(), block_sectors) - first};
        }
        if (ranges_.acquire(slot.claim, range,
                            discard || partial_block ? RangeGuard::Mode::exclusive : mode_of(slot))) {
            ready(slot);
        } else {
            ++stats_.waited_for_range;
        }
    }
}

/// Of less than a granule: nobody needs to wait for it, nor it for anybody.
bool RequestEngine::discards_nothing(const RequestSlot& slot) const noexcept {
    if (driver_ == nullptr) return false;
    const ImageInfo& info = driver_->info();
    if (!info.discard || info.discard_granularity_bytes <= sector_size_bytes) return false;
    return whole_granules(slot.judged.range, info.discard_granularity_bytes, info.discard_alignment_bytes).count == 0;
}

void RequestEngine::ready(RequestSlot& slot) noexcept {
    const bool needs_data = slot.phase == RequestSlot::Phase::data && slot.judged.range.count > 0 &&
                            slot.judged.operation != ring::Operation::discard;
    (needs_data ? memory_ : starting_).push_back(slot);
}

void RequestEngine::give_memory() noexcept {
    memory_exhausted_ = false;
    if (paused_) return;
    for (std::size_t left = turn_budget; left > 0 && !memory_.empty(); --left) {
        RequestSlot& slot = memory_.front();
        const auto prepared = guest_.prepare(slot);
        if (prepared == GuestData::Prepared::no_memory) {
            memory_exhausted_ = true;
            ++stats_.waited_for_memory;
            return;
        }
        memory_.pop_front();
        const bool fetch = prepared == GuestData::Prepared::by_copy && !slot.reads();
        (fetch ? fetching_ : starting_).push_back(slot);
    }
}

void RequestEngine::fetch_written_data() noexcept {
    if (fetching_.empty()) return;
    for (RequestSlot& slot : fetching_)
        guest_.add_copy(slot);
    guest_.copy_all();
    ++stats_.write_copies;
    while (!fetching_.empty()) {
        RequestSlot& slot = take_first(fetching_);
        if (const std::error_code error = guest_.next_copy_result(slot)) {
            finish(slot, error);
        } else {
            starting_.push_back(slot);
        }
    }
}

void RequestEngine::start_requests() noexcept {
    for (std::size_t left = turn_budget; left > 0 && !starting_.empty(); --left) {
        RequestSlot& slot = take_first(starting_);
        if (paused_) {
            postponed_.push_back(slot);
        } else {
            start(slot);
        }
    }
}

void RequestEngine::start(RequestSlot& slot) noexcept {
    ImageRequest& image = slot.image;
    if (slot.phase != RequestSlot::Phase::data || slot.judged.range.count == 0) {
        image.kind = ImageRequest::Kind::flush;
    } else if (slot.judged.operation == ring::Operation::discard) {
        image.kind = ImageRequest::Kind::discard;
    } else {
        image.kind = slot.reads() ? ImageRequest::Kind::read : ImageRequest::Kind::write;
    }
    image.range = image.kind == ImageRequest::Kind::flush ? SectorRange{} : slot.judged.range;
    if (image.kind == ImageRequest::Kind::flush) image.data = {};
    image.on_complete = &RequestEngine::on_complete;
    ++in_driver_;
    driver_->start(image);
}

}  // namespace blktap
