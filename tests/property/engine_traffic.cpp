// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/property/engine_traffic.hpp"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <string>

#include "tests/support/model_disk.hpp"

namespace blktap::testing {
namespace {

using ring::Operation;
using ring::Status;

constexpr std::uint32_t no_such_grant = 0x7fffffff;
constexpr std::size_t small_pieces = 20;
constexpr std::size_t large_pieces = 4;
constexpr std::size_t large_piece_pages = 40;

bool changes(Operation operation) {
    return operation == Operation::write || operation == Operation::write_barrier;
}

void expect(bool condition, const std::string& what) {
    if (!condition) throw std::logic_error(what);
}

}  // namespace

void TrafficMemory::make_pieces(const std::function<GuestBuffer(std::size_t)>& pages) {
    for (std::size_t i = 0; i < small_pieces + large_pieces; ++i) {
        const bool large = i >= small_pieces;
        pieces_.push_back(pages(large ? large_piece_pages : ring::segments_direct_max));
        (large ? large_ : small_).push_back(i);
    }
}

std::size_t TrafficMemory::take(bool large) {
    auto& free = large ? large_ : small_;
    if (free.empty()) return none;
    const std::size_t piece = free.back();
    free.pop_back();
    return piece;
}

void TrafficMemory::give_back(std::size_t piece) {
    if (piece != none) (piece < small_pieces ? small_ : large_).push_back(piece);
}

EngineTraffic::EngineTraffic(VbdHarness& machine, TrafficDisk& disk, TrafficMemory& memory, EngineOracle& oracle)
    : machine_(machine), disk_(disk), memory_(memory), oracle_(oracle), put_(machine.frontend().queue_count()) {}

void EngineTraffic::add_peer(SecondPeer& peer, TrafficMemory& memory) {
    peer_ = &peer;
    peer_memory_ = &memory;
}

/// The guest's queues, then those of the second peer.
std::size_t EngineTraffic::queue_count() const {
    return put_.size() + (peer_ != nullptr ? peer_->frontend().queue_count() : 0);
}

ring::FrontRing& EngineTraffic::ring(unsigned queue) {
    if (!is_of_peer(queue)) return machine_.frontend().ring(queue);
    return peer_->frontend().ring(queue - machine_.frontend().queue_count());
}

void EngineTraffic::publish(unsigned queue) {
    if (!is_of_peer(queue)) return machine_.publish(queue);
    peer_->frontend().publish(queue - machine_.frontend().queue_count());
}

void EngineTraffic::run(ByteScript script) {
    const auto faults = static_cast<unsigned>(script.below(4));
    errors_allowed_ = faults >= 2;
    disk_.choose_faults(faults);
    while (!script.done())
        step(script);
    end();
}

void EngineTraffic::step(ByteScript& script) {
    switch (script.below(16)) {
        case 0:
        case 1:
        case 2:
            return round();
        case 3:
        case 4:
        case 5:
            disk_.complete_some(script);
            return round();
        case 6:
            machine_.clock().advance(std::chrono::milliseconds(50 * script.byte()));
            return round();
        case 7:
            return operator_acts(script);
        default:
            return guest_sends(script);
    }
}

void EngineTraffic::guest_sends(ByteScript& script) {
    switch (script.below(16)) {
        case 0:
        case 1:
        case 2:
        case 3:
            return send(script, Operation::read, false);
        case 4:
        case 5:
        case 6:
        case 7:
            return send(script, Operation::write, false);
        case 8:
        case 9:
            return send(script, Operation::read, true);
        case 10:
        case 11:
            return send(script, Operation::write, true);
        case 12:
            return send(script, Operation::write_barrier, false);
        case 13:
            return send(script, Operation::flush_diskcache, false);
        default:
            return send(script, Operation::discard, false);
    }
}

/// The first segments of a piece of memory, some of them cut.
GuestBuffer EngineTraffic::choose_data(ByteScript& script, GuestBuffer data) {
    data.segments.resize(1 + script.below(data.segments.size()));
    for (ring::Segment& segment : data.segments) {
        if (!script.one_in(4)) continue;
        segment.first_sector = static_cast<std::uint8_t>(script.below(sectors_per_page));
        const std::uint64_t left = sectors_per_page - segment.first_sector;
        segment.last_sector = static_cast<std::uint8_t>(segment.first_sector + script.below(left));
    }
    return data;
}

ring::RawRequest EngineTraffic::make_request(const Outstanding& entry, std::uint64_t id, bool indirect) {
    if (entry.operation == Operation::discard) return VbdHarness::discard(id, entry.range);
    if (entry.data.segments.empty()) return VbdHarness::flush(id);
    return indirect ? machine_.indirect(entry.operation, id, entry.range.first, entry.data)
                    : machine_.transfer(entry.operation, id, entry.range.first, entry.data);
}

void EngineTraffic::send(ByteScript& script, Operation operation, bool indirect) {
    const auto queue = static_cast<unsigned>(script.below(queue_count()));
    const bool of_peer = is_of_peer(queue);
    if (ring(queue).full()) return;
    Outstanding entry{operation, {}, {}, 0, script.one_in(64), {}, TrafficMemory::none, of_peer};
    if (operation == Operation::discard) {
        entry.range.count = 1 + script.below(disk_sectors - 1);
    } else if (operation != Operation::flush_diskcache) {
        TrafficMemory& memory = memory_of(of_peer);
        entry.memory = memory.take(indirect && script.one_in(2));
        if (entry.memory == TrafficMemory::none) return;
        entry.data = choose_data(script, memory[entry.memory]);
        entry.range.count = entry.data.sector_count();
    }
    entry.range.first = script.below(disk_sectors - entry.range.count + 1);

    const std::uint64_t id = ++last_id_ | std::uint64_t{script.byte()} << 56;
    ring::RawRequest request = make_request(entry, id, indirect);
    if (entry.broken) break_request(script, request);
    note_change(entry);
    entry.sent_at = oracle_.tick();
    outstanding_.emplace(id, std::move(entry));
    if (of_peer) {
        peer_->put(request, queue - machine_.frontend().queue_count());
    } else {
        put_[queue].push_back(id);
        machine_.put(request, queue);
    }
    if (!script.one_in(4)) publish(queue);
}

/// Gives a write its data, and the oracle what may happen from now on.
void EngineTraffic::note_change(Outstanding& entry) {
    if (changes(entry.operation)) {
        const std::uint64_t stamp = oracle_.new_stamp();
        entry.data.fill(entry.range.first, stamp);
        if (!entry.broken) entry.write = oracle_.sent(entry.range, stamp);
    } else if (entry.operation == Operation::discard && !entry.broken) {
        entry.write = oracle_.sent(entry.range, 0);
    }
}

/// Makes `request` one that must be refused.
void EngineTraffic::break_request(ByteScript& script, ring::RawRequest& request) {
    const bool has_segments = request.segment_count > 0;
    if (!has_segments && request.discard_sectors == 0) {
        request.operation = static_cast<std::uint8_t>(128 | script.byte());
        return;
    }
    switch (has_segments ? script.below(5) : script.below(2)) {
        case 0:
            request.sector_number = disk_sectors + script.byte();
            break;
        case 1:
            request.sector_number = ~std::uint64_t{0} - script.byte();
            break;
        case 2:
            request.segment_count = request.indirect() ? 257 : 12;
            break;
        case 3:
            if (request.indirect()) {
                request.indirect_refs[0] = no_such_grant;
            } else {
                request.segments[0].gref = no_such_grant;
            }
            break;
        default:
            if (request.indirect()) {
                request.indirect_operation = static_cast<std::uint8_t>(Operation::discard);
            } else {
                request.segments[0].last_sector = sectors_per_page;
            }
            break;
    }
}

void EngineTraffic::operator_acts(ByteScript& script) {
    const bool paused = machine_.vbd().state() == Vbd::State::paused;
    switch (script.below(8)) {
        case 0:
        case 1:
            if (paused && script.one_in(2)) {
                machine_.relink();
            } else if (paused) {
                machine_.resume();
            } else if (!*pausing_) {
                *pausing_ = true;
                machine_.vbd().pause([pausing = pausing_](std::error_code) { *pausing = false; });
            }
            break;
        case 2:
            if (!paused && !*pausing_) machine_.vbd().retry();
            break;
        case 3:
            if (!*pausing_) machine_.vbd().accept_loss();
            break;
        case 4:
            if (!*pausing_ && script.one_in(8)) return reconnect();
            if (peer_ != nullptr && !*pausing_ && script.one_in(8)) return reconnect_peer();
            break;
        default:
            check_log();
            break;
    }
    round();
}

/// Ends a connection, whose requests that wait are answered with errors.
void EngineTraffic::disconnect(const std::string& name) {
    bool done = false;
    machine_.vbd().disconnect(name, ipc::RingsLeft::untouched, [&done](std::error_code) { done = true; });
    const bool errors_allowed_before = std::exchange(errors_allowed_, true);
    disk_.calm_down();
    wait_until([&] { return done; });
    machine_.round();
    collect();
    forget_requests(!name.empty());
    if (machine_.vbd().state() == Vbd::State::paused) machine_.resume();
    machine_.vbd().accept_loss();
    errors_allowed_ = errors_allowed_before;
}

/// What was still in its rings is never answered, and can happen no more.
void EngineTraffic::forget_requests(bool of_peer) {
    for (const auto& [id, request] : outstanding_) {
        if (request.of_peer != of_peer) continue;
        if (request.write.sent_at != 0) oracle_.answered(request.range, request.write, false);
        memory_of(of_peer).give_back(request.memory);
    }
    std::erase_if(outstanding_, [of_peer](const auto& entry) { return entry.second.of_peer == of_peer; });
}

void EngineTraffic::reconnect_peer() {
    disconnect(SecondPeer::name);
    peer_->connect();
    *peer_memory_ = TrafficMemory(*peer_);
}

void EngineTraffic::reconnect() {
    disconnect("");
    machine_.forget_answers();
    machine_.make_frontend(machine_.options().frontend);
    machine_.connect();
    put_.assign(machine_.frontend().queue_count(), {});
}

void EngineTraffic::round() {
    machine_.round();
    collect();
}

void EngineTraffic::collect() {
    for (auto it = outstanding_.begin(); it != outstanding_.end();) {
        const auto status = it->second.of_peer ? peer_->answer(it->first) : machine_.answer(it->first);
        if (!status) {
            ++it;
            continue;
        }
        judge(it->second, *status);
        memory_of(it->second.of_peer).give_back(it->second.memory);
        it = outstanding_.erase(it);
    }
}

void EngineTraffic::judge(const Outstanding& request, Status status) {
    const std::string name = "operation " + std::to_string(static_cast<int>(request.operation)) + " at sector " +
                             std::to_string(request.range.first) + ", " + std::to_string(request.range.count) +
                             " sectors: ";
    if (request.broken) return expect(status != Status::okay, name + "broken, and answered with success");
    expect(status != Status::not_supported, name + "not supported");
    expect(status == Status::okay || errors_allowed_, name + "failed without a reason");
    if (changes(request.operation)) {
        oracle_.answered(request.range, request.write, status == Status::okay);
    } else if (request.operation == Operation::discard) {
        oracle_.answered(request.range, request.write, false);
    } else if (request.operation == Operation::read && status == Status::okay) {
        const std::int64_t wrong = oracle_.first_wrong(request.range, request.data.get(), request.sent_at);
        expect(wrong < 0, name + "sector " + std::to_string(wrong) + " holds what it cannot");
    }
}

void EngineTraffic::check_log() const {
    const LogContents log = machine_.log();
    std::set<std::uint64_t> expected;
    for (const auto& [id, request] : outstanding_) {
        if (!request.of_peer) expected.insert(id);
    }
    for (std::size_t queue = 0; queue < put_.size(); ++queue) {
        for (std::size_t i = log.queues[queue].consumed; i < put_[queue].size(); ++i)
            expected.erase(put_[queue][i]);
    }
    std::set<std::uint64_t> logged;
    for (const LogContents::Request& entry : log.unanswered)
        logged.insert(entry.request.id);
    expect(logged == expected, "the recovery log is not what was taken and not answered");
}

bool EngineTraffic::at_rest() const {
    const std::size_t of_peer = peer_ != nullptr ? peer_->unanswered() : 0;
    return machine_.unanswered() + of_peer == machine_.counter("/held-flushes");
}

/// Lets time pass, for what waits for a timer, then waits for the workers.
void EngineTraffic::wait_until(const std::function<bool()>& condition) {
    for (int tries = 0; tries < 10 && !condition(); ++tries) {
        machine_.clock().advance(std::chrono::seconds(10));
        machine_.settle();
    }
    machine_.run_until(condition);
}

void EngineTraffic::end() {
    disk_.calm_down();
    wait_until([this] { return !*pausing_; });
    if (machine_.vbd().state() == Vbd::State::paused) machine_.resume();
    for (unsigned queue = 0; queue < queue_count(); ++queue)
        publish(queue);
    machine_.settle();
    wait_until([this] { return at_rest(); });
    collect();
    check_log();
    const std::uint64_t now = oracle_.tick();
    const std::int64_t wrong = oracle_.first_wrong({0, disk_sectors}, disk_.bytes({0, disk_sectors}), now);
    expect(wrong < 0, "in the end sector " + std::to_string(wrong) + " holds what it cannot");
    oracle_.forget(now);
}

}  // namespace blktap::testing
