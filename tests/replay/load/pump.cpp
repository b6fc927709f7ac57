// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A request's id holds its slot's index, and above it a number that no other request of the run has. So a second
// answer, or one to no request, is noticed.
#include "tests/replay/load/pump.hpp"

#include <algorithm>

#include "libblktap/base/units.hpp"
#include "tests/replay/cpu_time.hpp"
#include "tests/replay/failure.hpp"

namespace blktap::replay {
namespace {

constexpr unsigned slot_index_bits = 16;  // 16 queues of 512 slots are 13
constexpr Nanoseconds look_interval = std::chrono::milliseconds(100);
constexpr Nanoseconds progress_interval = std::chrono::seconds(1);
constexpr Nanoseconds drain_limit = std::chrono::seconds(10);  // of requests that a full disk parks, after Ctrl-C

}  // namespace

Pump::Pump(Session& session, const Clock& clock, PumpOptions options)
    : session_(session), clock_(clock), options_(std::move(options)) {
    const std::uint32_t ring_slots = session_.frontend().ring(0).slot_count();
    if (options_.depth < 1 || options_.depth > ring_slots) {
        throw std::runtime_error("--depth " + std::to_string(options_.depth) +
                                 ": a ring of this --ring-order holds 1 to " + std::to_string(ring_slots) +
                                 " requests");
    }
    make_slots();
}

void Pump::make_slots() {
    Frontend& frontend = session_.frontend();
    const std::size_t slot_count = std::size_t{frontend.queue_count()} * options_.depth;
    slots_.resize(slot_count);
    free_.resize(frontend.queue_count());
    for (std::vector<std::uint32_t>& indices : free_)
        indices.reserve(options_.depth);

    const FrontendPages descriptors = frontend.share(static_cast<std::uint32_t>(slot_count));
    const FrontendPages data =
        frontend.share(static_cast<std::uint32_t>(slot_count * std::max(options_.pages_per_slot, 1u)));
    for (std::uint32_t i = 0; i < slot_count; ++i) {
        Slot& slot = slots_[i];
        slot.queue = i / options_.depth;
        slot.data = data.bytes().subspan(i * options_.pages_per_slot * page_size_bytes,
                                         options_.pages_per_slot * page_size_bytes);
        slot.refs = data.refs().subspan(i * options_.pages_per_slot, options_.pages_per_slot);
        slot.descriptors = reinterpret_cast<ring::Segment*>(descriptors.bytes().data() + i * page_size_bytes);
        slot.descriptors_ref = descriptors.refs()[i];
        free_[slot.queue].push_back(i);
    }
}

bool Pump::run(Traffic& traffic, Statistics& statistics) {
    const auto backend_pid = session_.connection().backend_pid();
    const auto backend_cpu = [&] { return backend_pid ? cpu_time(*backend_pid) : std::nullopt; };
    const auto own_cpu_before = cpu_time(0).value_or(Nanoseconds(0));
    const auto backend_cpu_before = backend_cpu();

    Nanoseconds now = clock_.now();
    Run run{traffic, statistics, now, now, now + look_interval, now + progress_interval};
    while (true) {
        bool moved = reap(run, now);
        if (in_flight_ == 0) run.last_answer = now;  // nothing is owed
        moved |= fill(run, now);
        if (run.finished && in_flight_ == 0) break;
        if (moved || options_.spin) {
            if (now >= run.next_look) look_around(run, now, Nanoseconds(0));
        } else if (!session_.frontend().rearm()) {
            sleep(run, now);
        }
        now = clock_.now();
    }

    statistics.elapsed = clock_.now() - run.began;
    statistics.own_cpu = cpu_time(0).value_or(own_cpu_before) - own_cpu_before;
    if (const auto after = backend_cpu(); after && backend_cpu_before)
        statistics.backend_cpu = *after - *backend_cpu_before;
    return !run.interrupted;
}

bool Pump::reap(Run& run, Nanoseconds now) {
    bool moved = false;
    for (unsigned queue = 0; queue < free_.size(); ++queue) {
        while (true) {
            const auto response = session_.frontend().take(queue);
            if (!response) throw Failure("queue " + std::to_string(queue) + ": more answers than requests");
            if (!response.value()) break;
            answer(run, queue, *response.value(), now);
            moved = true;
        }
    }
    if (moved) run.last_answer = now;
    return moved;
}

void Pump::answer(Run& run, unsigned queue, const ring::Response& response, Nanoseconds now) {
    const std::uint64_t index = response.id & ((1u << slot_index_bits) - 1);
    const bool known =
        index < slots_.size() && slots_[index].busy && slots_[index].id == response.id && slots_[index].queue == queue;
    if (!known) {
        throw Failure("queue " + std::to_string(queue) + ": an answer to request " + std::to_string(response.id) +
                      ", which is not in flight there");
    }
    Slot& slot = slots_[index];
    if (response.operation != slot.work.operation) {
        throw Failure("request " + std::to_string(slot.id) + " of operation " + std::to_string(slot.work.operation) +
                      " was answered as operation " + std::to_string(response.operation));
    }
    run.statistics.count(slot.work.operation, response.status, slot.data_bytes, now - slot.started);
    run.traffic.completed(slot, response.status);
    slot.busy = false;
    --in_flight_;
    free_[queue].push_back(static_cast<std::uint32_t>(index));
}

bool Pump::fill(Run& run, Nanoseconds now) {
    bool moved = false;
    for (unsigned queue = 0; queue < free_.size() && !run.finished; ++queue) {
        bool any = false;
        while (!free_[queue].empty()) {
            Slot& slot = slots_[free_[queue].back()];
            slot.id = (sequence_ << slot_index_bits) | free_[queue].back();
            const Traffic::Next next = run.traffic.next(slot, now);
            run.finished = next == Traffic::Next::finished;
            if (next != Traffic::Next::request) break;
            free_[queue].pop_back();
            put(slot, now);
            any = true;
        }
        if (any) session_.frontend().publish(queue);
        moved |= any;
    }
    return moved;
}

void Pump::put(Slot& slot, Nanoseconds now) noexcept {
    ++sequence_;
    ++in_flight_;
    slot.busy = true;
    slot.started = now;
    slot.data_bytes = work_bytes(slot.work);
    session_.frontend().ring(slot.queue).put_request(make_request(slot));
}

void Pump::sleep(Run& run, Nanoseconds now) {
    const Nanoseconds until =
        std::min({run.next_progress, run.traffic.wake_at(now), run.last_answer + options_.timeout});
    look_around(run, now, std::max(until - now, Nanoseconds(0)));
}

void Pump::look_around(Run& run, Nanoseconds now, Nanoseconds limit) {
    run.next_look = now + look_interval;
    if (session_.wait(limit) == Session::Wake::interrupted) {
        run.interrupted = true;
        run.traffic.stop();
    }
    const Nanoseconds timeout = run.interrupted ? std::min(drain_limit, options_.timeout) : options_.timeout;
    if (in_flight_ > 0 && now - run.last_answer >= timeout) {
        throw Failure("no answer for " + std::to_string(std::chrono::ceil<std::chrono::seconds>(timeout).count()) +
                      " s to " + std::to_string(in_flight_) + " requests in flight");
    }
    if (now >= run.next_progress) {
        run.next_progress = now + progress_interval;
        run.statistics.elapsed = now - run.began;
        if (options_.progress) options_.progress(run.statistics);
    }
}

}  // namespace blktap::replay
