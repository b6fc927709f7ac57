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
    const bool parked_before = request.lack != Lack::nothing;
    return parked_before ? RangeGuard::Mode::ordered_write : RangeGuard::Mode::shared_write;
}

/// Takes the requests of `client` out of `list`, and gives each to `take`, which may append to the list.
template <class Take>
void take_those_of(const DiskClient& client, StageList& list, Take take) noexcept {
    for (auto next = list.begin(); next != list.end();) {
        DiskRequest& request = *next;
        if (request.client != &client) {
            ++next;
            continue;
        }
        next = list.erase(next);
        take(request);
    }
}

std::size_t count_those_of(const DiskClient& client, const StageList& list) noexcept {
    const auto is_its = [&client](const DiskRequest& request) { return request.client == &client; };
    return static_cast<std::size_t>(std::ranges::count_if(list, is_its));
}

}  // namespace

Scheduler::~Scheduler() {
    BLKTAP_ASSERT(clients_.empty() && in_driver_ == 0);
}

void Scheduler::join(DiskClient& client) {
    clients_.reserve(clients_.size() + 1);
    if (driver_ != nullptr) client.set_image(*driver_);
    clients_.push_back(&client);
    client.scheduler_ = this;
}

void Scheduler::leave(DiskClient& client) noexcept {
    if (client.unfinished_ > 0) {
        begin_again();
        const auto forget = [this](DiskRequest& request) {
            if (request.LiveHook::is_linked()) leave_order(request);
            parking_.forget(request);
            --request.client->unfinished_;
        };
        order_.abandon(client, forget);
        take_those_of(client, ordered_, forget);
        take_those_of(client, parking_.held(), forget);
    }
    BLKTAP_ASSERT(client.unfinished_ == 0);
    client.clear_image();
    std::erase(clients_, &client);
}

void Scheduler::admit(DiskRequest& request) noexcept {
    ++request.client->unfinished_;
    live_.push_back(request);
    // A flush with data is served as a barrier that does not drain: nothing less makes both meanings true.
    const bool flushes_first = request.drains() || (request.kind == DiskRequest::Kind::flush && request.has_data());
    request.phase = flushes_first ? DiskRequest::Phase::flush_before : DiskRequest::Phase::data;
    request.image.fua = flushes_first;
    if (order_.admit(request, live_)) ordered_.push_back(request);
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
        refuse_of_cut_image(request);
    } else if ((flushes && health_.flush_failed()) || (request.changes_disk() && health_.writes_refused())) {
        finish(request, Errc::image_failed);
    } else {
        return false;
    }
    return true;
}

void Scheduler::refuse_of_cut_image(DiskRequest& request) noexcept {
    // An answer to a flush would be about what is lost as well; see Parking::hold() for why it is not an error.
    if ((request.plain_flush() || parking_.holds_errors()) && !request.client->closing_)
        return park(request, Lack::health);
    finish(request, Errc::unexpected_end_of_file);
}

void Scheduler::claim() noexcept {
    std::size_t left = turn_budget;
    for (; left > 0 && !ranged_.empty(); --left) {
        DiskRequest& request = take_first(ranged_);
        if (!refuse(request)) ready(request);
    }
    for (; left > 0 && !ordered_.empty(); --left) {
        DiskRequest& request = take_first(ordered_);
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
    if (ranges_.acquire(request.claim, range,
                        discard || partial_block ? RangeGuard::Mode::exclusive : mode_of(request))) {
        ready(request);
    } else {
        ++stats_.waited_for_range;
    }
}

void Scheduler::ready(DiskRequest& request) noexcept {
    const bool needs_memory =
        request.phase == DiskRequest::Phase::data && request.has_data() && request.kind != DiskRequest::Kind::discard;
    (needs_memory ? request.client->wanting_ : starting_).push_back(request);
}

void Scheduler::run(std::size_t reaped_max) noexcept {
    for (std::size_t left = turn_budget; left > 0 && !starting_.empty(); --left) {
        DiskRequest& request = take_first(starting_);
        if (paused_ || regrouping_) {
            postponed_.push_back(request);
        } else {
            start(request);
        }
    }
    submit();
    io_.reap(reaped_max);
    if (!parking_.parked().empty() && somebody_is_stuck()) regrouping_ = true;
    if (regrouping_ && in_driver_ == 0) free_stuck();
}

void Scheduler::start(DiskRequest& request) noexcept {
    ImageRequest& image = request.image;
    if (request.phase != DiskRequest::Phase::data || !request.has_data()) {
        image.kind = ImageRequest::Kind::flush;
        image.range = {};
        image.data = {};
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
    const bool startable = !paused_ && !starting_.empty();
    return startable || !ordered_.empty() || !ranged_.empty() || io_.can_submit() || io_.reap_left();
}

// --- from the driver back

void Scheduler::on_complete(ImageRequest& image, std::error_code error, Retry retry) noexcept {
    DiskRequest& request = request_of(image);
    request.client->scheduler_->completed(request, error, retry);
}

void Scheduler::completed(DiskRequest& request, std::error_code error, Retry retry) noexcept {
    BLKTAP_ASSERT(in_driver_ > 0);
    --in_driver_;
    // Of two flushes under way together the kernel tells only one that it failed.
    if (!error && request.image.kind == ImageRequest::Kind::flush && health_.flush_failed()) error = Errc::image_failed;
    if (error) return failed(request, error, retry);
    switch (request.phase) {
        case DiskRequest::Phase::flush_before:
            if (!request.has_data()) return finish(request, {});
            request.phase = DiskRequest::Phase::data;
            return ready(request);
        case DiskRequest::Phase::data:
            if (!request.flushes() || !request.has_data() || fua_) return finish(request, {});
            request.phase = DiskRequest::Phase::flush_after;
            return starting_.push_back(request);
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
    leave_order(request);
    parking_.hold(request);
}

void Scheduler::park(DiskRequest& request, Lack lack) noexcept {
    request.client->take_memory_back(request);
    parking_.park(request, lack);
    if (request.claim.is_linked()) ranges_.order(request.claim);
}

void Scheduler::leave_order(DiskRequest& request) noexcept {
    live_.erase(LiveList::s_iterator_to(request));
    order_.finished(request, live_, [this](DiskRequest& next) { ordered_.push_back(next); });
}

void Scheduler::finish(DiskRequest& request, std::error_code error) noexcept {
    if (request.claim.is_linked()) {
        ranges_.release(request.claim, [this](RangeGuard::Claim& claim) { ranged_.push_back(request_of(claim)); });
    }
    if (request.LiveHook::is_linked()) leave_order(request);
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
    for (DiskRequest& request : live_) {
        if (request.claim.is_linked() && request.claim.waiting) ordered_.push_back(request);
    }
    const auto take_back = [this](StageList& list) {
        for (DiskRequest& request : list)
            request.client->take_memory_back(request);
        ordered_.splice(ordered_.end(), list);
    };
    for (StageList* list : {&ranged_, &starting_, &postponed_, &parking_.parked()})
        take_back(*list);
    for (DiskClient* client : clients_)
        take_back(client->wanting_);
    // In the order in which they were taken: what waited for a parked write must not overtake it.
    ordered_.sort([](const DiskRequest& a, const DiskRequest& b) { return a.sequence < b.sequence; });
    ranges_.clear();  // all that claimed a range are in `ordered_` now
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
    const bool nothing_starts = paused_ || (starting_.empty() && ordered_.empty() && ranged_.empty());
    return in_driver_ == 0 && nothing_starts;
}

// --- the storage

void Scheduler::retry_parked() noexcept {
    ranged_.splice(ranged_.end(), parking_.parked());  // a flush may have failed meanwhile: then they are refused there
}

void Scheduler::release_held() noexcept {
    while (!parking_.held().empty())
        finish(take_first(parking_.held()), Errc::image_failed);
}

Nanoseconds Scheduler::oldest_wait() const noexcept {
    const Nanoseconds now = clock_.now();
    Nanoseconds first = now;
    for (const DiskRequest& request : live_) {
        if (request.lack != Lack::nothing) first = std::min(first, request.waits_since);
    }
    return now - first;
}

// --- the end of a client

void Scheduler::close(DiskClient& client) noexcept {
    fail_stranded(client);
    starting_.splice(starting_.begin(), postponed_);
    if (driver_ == nullptr) abandon_waiting(client);
}

void Scheduler::drain(DiskClient& client, bool fail) noexcept {
    fail_stranded(client);
    client.failing_ = fail || paused_;
    if (client.failing_) abandon_waiting(client);
}

Scheduler::Stranded Scheduler::stranded(const DiskClient& client) const noexcept {
    return {count_those_of(client, parking_.parked()), count_those_of(client, parking_.held())};
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
    bool any = false;
    const auto end = [this, &any](DiskRequest& request) {
        any = true;
        finish(request, Errc::wrong_state);
    };
    // Without claims nobody of this client waits for a range that another one keeps for long.
    if (in_driver_ == 0) begin_again();
    order_.abandon(client, end);
    // The end of one lets others go on to the lists before it: until all are empty.
    do {
        any = false;
        for (StageList* list : {&ordered_, &ranged_, &client.wanting_, &starting_, &postponed_})
            take_those_of(client, *list, end);
    } while (any);
}

/// A client that is leaving waits for what another one keeps for as long as the storage lacks something.
bool Scheduler::somebody_is_stuck() const noexcept {
    const bool leaving = std::ranges::any_of(clients_, [](const DiskClient* client) { return client->closing_; });
    if (!leaving) return false;
    return order_.holds_back_closing() || std::ranges::any_of(live_, [](const DiskRequest& request) {
               return request.client->closing_ && request.claim.is_linked() && request.claim.waiting;
           });
}

/// Lets the requests of leaving clients fail that wait for a range or a barrier of others. Only while the driver has
/// nothing: then all claims can be given up and made again, in order.
void Scheduler::free_stuck() noexcept {
    regrouping_ = false;
    starting_.splice(starting_.begin(), postponed_);
    for (DiskClient* client : clients_) {
        if (client->closing_) abandon_waiting(*client);
    }
}

}  // namespace blktap
