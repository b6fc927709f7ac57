// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/disk/scheduler.hpp"

#include <algorithm>
#include <utility>

#include "libblktap/base/assert.hpp"
#include "libblktap/base/error.hpp"

namespace blktap {
namespace {

RangeGuard::Mode mode_of(const DiskRequest& request) noexcept {
    if (!request.changes_disk()) return RangeGuard::Mode::shared;
    const bool in_order = request.lack != Lack::nothing || request.replayed;
    return in_order ? RangeGuard::Mode::ordered_write : RangeGuard::Mode::shared_write;
}

}  // namespace

Scheduler::~Scheduler() {
    BLKTAP_ASSERT(clients_.empty() && in_driver_ == 0);
}

void Scheduler::join(DiskClient& client, std::uint64_t given) {
    clients_.reserve(clients_.size() + 1);
    if (driver_ != nullptr) client.set_image(*driver_);
    clients_.push_back(&client);
    client.scheduler_ = this;
    sequence_ = std::max(sequence_, given);
}

void Scheduler::leave(DiskClient& client) noexcept {
    if (client.unfinished_ > 0) {
        begin_again();
        const auto forget = [this](DiskRequest& request) {
            stages_.end(request);
            parking_.forget(request);
            --request.client->unfinished_;
        };
        stages_.take_those_of(client, forget);
        take_those_of(client, parking_.held(), forget);
    }
    BLKTAP_ASSERT(client.unfinished_ == 0);
    client.clear_image();
    std::erase(clients_, &client);
}

void Scheduler::admit(DiskRequest& request) noexcept {
    ++request.client->unfinished_;
    // A flush with data is served as a barrier that does not drain: nothing less makes both meanings true.
    const bool flushes_first = request.drains() || (request.kind == DiskRequest::Kind::flush && request.has_data());
    request.phase = flushes_first ? DiskRequest::Phase::flush_before : DiskRequest::Phase::data;
    request.image.fua = flushes_first;
    stages_.admit(request);
}

// --- from order to the driver

/// True when the request was answered, or put away, instead of going on.
bool Scheduler::refuse(DiskRequest& request) noexcept {
    const DiskClient& client = *request.client;
    const bool flushes = request.plain_flush() || request.phase != DiskRequest::Phase::data;
    if (client.failing_) {
        finish(request, std::make_error_code(std::errc::no_such_device));
    } else if (request.plain_flush() && health_.flush_failed() && !client.closing_) {
        hold(request);
    } else if (health_.image_cut()) {
        if (parking_.waits_for_whole_image(request)) {
            park(request, Lack::health);
        } else {
            finish(request, Errc::unexpected_end_of_file);
        }
    } else if ((flushes && health_.flush_failed()) || (request.changes_disk() && health_.writes_refused())) {
        finish(request, Errc::image_failed);
    } else {
        return false;
    }
    return true;
}

void Scheduler::claim() noexcept {
    std::size_t left = turn_budget;
    for (; left > 0 && !stages_.ranged.empty(); --left) {
        DiskRequest& request = take_first(stages_.ranged);
        if (!refuse(request)) ready(request);
    }
    for (; left > 0 && !stages_.ordered.empty(); --left) {
        DiskRequest& request = take_first(stages_.ordered);
        if (!refuse(request)) claim_range(request);
    }
}

void Scheduler::claim_range(DiskRequest& request) noexcept {
    SectorRange range = request.range;
    if (range.count == 0) return ready(request);
    const bool discard = request.kind == DiskRequest::Kind::discard;
    if (discard && driver_ != nullptr && discards_nothing(range, driver_->info())) return finish(request, {});
    const bool partial_block = request.changes_disk() && !discard &&
                               !is_aligned(range.offset_bytes() | range.length_bytes(), write_alignment_bytes_);
    if (partial_block) {
        const std::uint64_t block_sectors = write_alignment_bytes_ / sector_size_bytes;
        const std::uint64_t first = round_down(range.first, block_sectors);
        range = {first, round_up(range.end(), block_sectors) - first};
    }
    if (stages_.claim(request, range, discard || partial_block ? RangeGuard::Mode::exclusive : mode_of(request))) {
        ready(request);
    } else {
        ++stats_.waited_for_range;
    }
}

void Scheduler::ready(DiskRequest& request) noexcept {
    const bool needs_memory =
        request.phase == DiskRequest::Phase::data && request.has_data() && request.kind != DiskRequest::Kind::discard;
    (needs_memory ? request.client->wanting_ : stages_.starting).push_back(request);
}

void Scheduler::run(std::size_t reaped_max) noexcept {
    for (std::size_t left = turn_budget; left > 0 && !stages_.starting.empty(); --left) {
        DiskRequest& request = take_first(stages_.starting);
        if (paused_ || regrouping_) {
            stages_.postponed.push_back(request);
        } else {
            start(request);
        }
    }
    submit();
    io_.reap(reaped_max);
    if (!parking_.parked().empty() && stages_.holds_back_closing()) regrouping_ = true;
    if (regrouping_ && in_driver_ == 0) free_stuck();
}

void Scheduler::start(DiskRequest& request) noexcept {
    ImageRequest& image = request.image;
    if (request.phase != DiskRequest::Phase::data || !request.has_data()) {
        image.kind = ImageRequest::Kind::flush;
        image.range = {};
        image.data = {};
        ++stats_.flushes_begun;
    } else {
        image.kind = request.kind_of_data();
        image.range = request.range;
    }
    image.begin(&Scheduler::on_complete);
    ++in_driver_;
    driver_->start(image);
}

void Scheduler::submit() noexcept {
    if (!io_.staged_allocates()) return io_.submit_staged();
    const std::uint64_t allocating_before = io_.stats().allocating_submits;
    const Nanoseconds began = clock_.now();
    io_.submit_staged();
    if (io_.stats().allocating_submits == allocating_before) return;
    stats_.allocation.note(static_cast<std::uint64_t>((clock_.now() - began).count()));
}

bool Scheduler::can_go_on() const noexcept {
    const bool startable = !paused_ && !stages_.starting.empty();
    return startable || !stages_.ordered.empty() || !stages_.ranged.empty() || io_.can_submit() || io_.reap_left();
}

// --- from the driver back

void Scheduler::on_complete(ImageRequest& image, std::error_code error, Retry retry) noexcept {
    DiskRequest& request = request_of(image);
    request.client->scheduler_->completed(request, error, retry);
}

void Scheduler::completed(DiskRequest& request, std::error_code error, Retry retry) noexcept {
    BLKTAP_ASSERT(in_driver_ > 0);
    --in_driver_;
    const bool is_flush = request.image.kind == ImageRequest::Kind::flush;
    if (is_flush) ++stats_.flushes_ended;
    if (!error && is_flush) {
        // Of two flushes under way together the kernel tells only one that it failed.
        if (health_.flush_failed()) {
            error = Errc::image_failed;
        } else if (health_.lost(request.sequence)) {
            return finish(request, Errc::image_failed);
        }
    }
    if (error) return failed(request, error, retry);
    switch (request.phase) {
        case DiskRequest::Phase::flush_before:
            if (!request.has_data()) return finish(request, {});
            request.phase = DiskRequest::Phase::data;
            return ready(request);
        case DiskRequest::Phase::data:
            if (!request.flushes() || !request.has_data() || fua_) return finish(request, {});
            request.phase = DiskRequest::Phase::flush_after;
            return stages_.starting.push_back(request);
        case DiskRequest::Phase::flush_after:
            return finish(request, {});
    }
}

void Scheduler::failed(DiskRequest& request, std::error_code error, Retry retry) noexcept {
    if (error == Errc::unexpected_end_of_file) health_.cut_image();
    const Lack lack = parking_.lack_of(request, retry);
    if (lack != Lack::nothing) return park(request, lack);
    if (request.lack != Lack::nothing) parking_.note_gave_up();
    if (request.image.kind != ImageRequest::Kind::flush) return finish(request, error);

    // What the kernel failed to write back it may report once only: a second flush that succeeds would prove nothing.
    health_.fail_flush();
    if (!request.plain_flush() || request.client->closing_) return finish(request, error);
    hold(request);
}

/// Nothing waits for a flush that may never be answered.
void Scheduler::hold(DiskRequest& request) noexcept {
    stages_.leave_order(request);
    parking_.hold(request);
}

void Scheduler::park(DiskRequest& request, Lack lack) noexcept {
    request.client->take_memory_back(request);
    parking_.park(request, lack);
    stages_.keep_place(request);
}

void Scheduler::finish(DiskRequest& request, std::error_code error) noexcept {
    stages_.end(request);
    parking_.forget(request);
    request.result = error;
    --request.client->unfinished_;
    request.client->finished_.push_back(request);
}

// --- images

void Scheduler::set_image(ImageDriver& driver) {
    try {
        for (DiskClient* client : clients_)
            client->set_image(driver);
    } catch (const std::bad_alloc&) {
        clear_clients();
        throw;
    }
    driver_ = &driver;
    write_alignment_bytes_ = driver.info().write_alignment_bytes;
    fua_ = driver.info().fua;
    paused_ = false;
    begin_again();
}

/// Sends every request that has not started back to where it claims its range and its memory: both depend on the image.
void Scheduler::begin_again() noexcept {
    BLKTAP_ASSERT(in_driver_ == 0);
    stages_.begin_again(parking_.parked(), clients_);
}

void Scheduler::clear_image() noexcept {
    BLKTAP_ASSERT(quiet() && paused_);
    driver_ = nullptr;
    clear_clients();
    for (DiskClient* client : clients_) {
        if (client->closing_) abandon_waiting(*client);
    }
}

void Scheduler::clear_clients() noexcept {
    for (DiskClient* client : clients_)
        client->clear_image();
}

bool Scheduler::quiet() const noexcept {
    const bool nothing_starts =
        paused_ || (stages_.starting.empty() && stages_.ordered.empty() && stages_.ranged.empty());
    return in_driver_ == 0 && nothing_starts;
}

// --- the storage

void Scheduler::retry_parked() noexcept {
    stages_.ranged.splice(stages_.ranged.end(),
                          parking_.parked());  // a flush may have failed meanwhile: then they are refused there
}

void Scheduler::release_held() noexcept {
    while (!parking_.held().empty())
        finish(take_first(parking_.held()), Errc::image_failed);
}

Nanoseconds Scheduler::oldest_wait() const noexcept {
    const Nanoseconds now = clock_.now();
    Nanoseconds first = now;
    for (const DiskRequest& request : stages_.live()) {
        if (request.lack != Lack::nothing) first = std::min(first, request.waits_since);
    }
    return now - first;
}

// --- the end of a client

void Scheduler::close(DiskClient& client) noexcept {
    fail_stranded(client);
    stages_.starting.splice(stages_.starting.begin(), stages_.postponed);
    if (driver_ == nullptr) abandon_waiting(client);
}

void Scheduler::drain(DiskClient& client, bool fail) noexcept {
    fail_stranded(client);
    client.failing_ = fail || paused_;
    if (client.failing_) abandon_waiting(client);
}

/// Answers what waits for the storage: nobody will try it again.
void Scheduler::fail_stranded(DiskClient& client) noexcept {
    client.closing_ = true;
    take_those_of(client, parking_.parked(), [this](DiskRequest& request) {
        parking_.note_gave_up();
        finish(request, error_of(request.lack));
    });
    take_those_of(client, parking_.held(), [this](DiskRequest& request) { finish(request, Errc::image_failed); });
}

/// Answers everything of `client` that waits to be given to an image.
void Scheduler::abandon_waiting(DiskClient& client) noexcept {
    // Without claims nobody of this client waits for a range that another one keeps for long.
    if (in_driver_ == 0) begin_again();
    stages_.take_those_of(client, [this](DiskRequest& request) { finish(request, Errc::wrong_state); });
}

/// A client that is leaving may wait for what a parked request of another one keeps for as long as the storage lacks
/// something: such requests fail. Only while the driver has nothing: then all claims can be given up and made again, in
/// order.
void Scheduler::free_stuck() noexcept {
    regrouping_ = false;
    stages_.take_stuck(parking_.parked(), [this](DiskRequest& request) { finish(request, Errc::wrong_state); });
    begin_again();
}

}  // namespace blktap
