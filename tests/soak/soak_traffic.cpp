// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/soak/soak_traffic.hpp"

#include "tests/replay/failure.hpp"
#include "tests/soak/host/tapback_calls.hpp"

namespace blktap::soak {
namespace {

using ring::Operation;

constexpr std::uint64_t slot_mask = 0xffff;  // the slot's number in a request's id
constexpr Nanoseconds noticeable = std::chrono::milliseconds(10);

bool writes(const replay::Work& work) {
    return work.operation == static_cast<std::uint8_t>(Operation::write) ||
           work.operation == static_cast<std::uint8_t>(Operation::write_barrier);
}

std::string words_of(const replay::Slot& slot) {
    return "request " + std::to_string(slot.id) + " of operation " + std::to_string(slot.work.operation) +
           " at sector " + std::to_string(slot.work.sector);
}

}  // namespace

SoakTraffic::Flight& SoakTraffic::flight_of(const replay::Slot& slot) {
    const std::size_t index = slot.id & slot_mask;
    if (index >= flights_.size()) flights_.resize(index + 1);
    return flights_[index];
}

replay::Traffic::Next SoakTraffic::next(replay::Slot& slot, Nanoseconds now) {
    if (orders_.leave || now >= until_) load_.stop();
    const Next next = load_.next(slot, now);
    if (next != Next::request) return next;
    if (in_flight_++ == 0) last_answer_ = now;
    const bool is_read = slot.work.operation == static_cast<std::uint8_t>(Operation::read);
    flight_of(slot) = {writes(slot.work),
                       {slot.work.sector, replay::work_bytes(slot.work) / sector_size_bytes},
                       now,
                       orders_.errors_due && !is_read};
    return next;
}

void SoakTraffic::completed(replay::Slot& slot, ring::Status status) {
    const Nanoseconds now = clock_.now();
    Flight& flight = flight_of(slot);
    load_.completed(slot, status);
    if (orders_.crash) throw Crash{};
    if (status != ring::Status::okay && !flight.may_fail)
        throw replay::Failure(words_of(slot) + " was answered with status " + std::to_string(static_cast<int>(status)));
    if (now - flight.began > patience)
        throw replay::Failure(words_of(slot) + " was answered after " +
                              std::to_string(std::chrono::floor<std::chrono::seconds>(now - flight.began).count()) +
                              " s");
    if (slot.work.operation == static_cast<std::uint8_t>(Operation::read)) bytes_read_ += slot.data_bytes;
    flight = {};
    --in_flight_;
    note_wait(now);
}

/// A guest waits from one answer to the next, while it has asked for something.
void SoakTraffic::note_wait(Nanoseconds now) {
    const char* const disturbance = orders_.disturbance;
    const char* const reason = disturbance != nullptr ? disturbance : disturbed_by_;
    if (now - last_answer_ >= noticeable)
        tally_.waited(reason != nullptr ? reason : "undisturbed (storage, load)", now - last_answer_);
    last_answer_ = now;
    disturbed_by_ = disturbance;  // the first answer may come when it is over
}

void SoakTraffic::lost() noexcept {
    for (const Flight& flight : flights_)
        if (flight.is_write) model_.uncertain(flight.range);
}

replay::Traffic::Next DiscardTraffic::next(replay::Slot& slot, Nanoseconds) {
    if (busy_) return Next::later;
    if (left_ == 0) return Next::finished;
    --left_;
    constexpr std::uint64_t unit = sectors_per_page;
    const std::uint64_t count = (1 + random_.below(64)) * unit;
    const std::uint64_t places = (model_.range().count - count) / unit;
    range_ = {random_.below(places) * unit, count};
    model_.uncertain(range_);  // also when no answer comes: its backend may die
    slot.work = {static_cast<std::uint8_t>(Operation::discard), false, 0, range_.first, range_.count, {}};
    busy_ = true;
    return Next::request;
}

void DiscardTraffic::completed(replay::Slot& slot, ring::Status status) {
    if (status == ring::Status::error) throw replay::Failure(words_of(slot) + " was answered with an error");
    busy_ = false;
    if (status == ring::Status::not_supported) left_ = 0;
}

}  // namespace blktap::soak
