// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Vbd::stats(): the counters of one disk as the control protocol's "stats" shows them.
#include "tapdisk/vbd.hpp"

namespace blktap {
namespace {

using ipc::Json;

Json operation(const OperationStats& stats) {
    return {{"requests", stats.requests}, {"sectors", stats.sectors}, {"errors", stats.errors}};
}

Json requests(const EngineStats& stats) {
    return {{"read", operation(stats.read)},       {"write", operation(stats.write)},
            {"barrier", operation(stats.barrier)}, {"flush", operation(stats.flush)},
            {"discard", operation(stats.discard)}, {"rejected", stats.rejected}};
}

Json allocation(const AllocationStats& stats) {
    Json turns = Json::object();
    std::uint64_t count = 0;
    for (std::size_t i = 0; i < stats.turns.size(); ++i) {
        const bool last = i == AllocationStats::limits_us.size();
        turns[last ? "more" : std::to_string(AllocationStats::limits_us[i])] = stats.turns[i];
        count += stats.turns[i];
    }
    return {{"turns", count}, {"longest-ns", stats.longest_ns}, {"up-to-us", std::move(turns)}};
}

Json waiting(const RequestEngine& engine, std::size_t refused, Nanoseconds now) {
    const auto oldest = std::chrono::duration_cast<std::chrono::milliseconds>(now - engine.waiting_since());
    return {{"no-space", engine.waiting().for_space},
            {"io-error", engine.waiting().for_health},
            {"storage-busy", refused},
            {"oldest-ms", oldest.count()},
            {"gave-up", engine.stats().gave_up}};
}

Json turns(const EngineStats& stats) {
    return {{"count", stats.turns},
            {"longest-ns", stats.longest_turn_ns},
            {"most-per-turn",
             {{"io-submits", stats.turn_max.submits},
              {"descriptor-copies", stats.turn_max.descriptor_copies},
              {"write-copies", stats.turn_max.write_copies},
              {"read-copies", stats.turn_max.read_copies},
              {"notifies", stats.turn_max.notifies}}}};
}

Json connection_stats(const Connection& connection, std::size_t refused, Nanoseconds now) {
    const RequestEngine& engine = connection.engine();
    const EngineStats& stats = engine.stats();
    const ipc::ConnectArguments& frontend = connection.frontend();
    return {
        {"domain", frontend.domain},
        {"protocol", frontend.protocol},
        {"persistent", frontend.persistent},
        {"queues", frontend.queues.size()},
        {"ring-slots", engine.queues().front().ring().slot_count()},
        {"stopped-queues", stats.stopped_queues},
        {"taken", engine.taken()},
        {"in-flight", engine.in_flight()},
        {"parked", engine.parked_count()},
        {"waiting", waiting(engine, refused, now)},
        {"allocation", allocation(stats.allocation)},
        {"held-flushes", engine.held_flush_count()},
        {"requests", requests(stats)},
        {"turns", turns(stats)},
        {"wakeups", connection.wakeups()},
        {"notifies", stats.notifies},
        {"grant-copies",
         {{"descriptors", stats.descriptor_copies},
          {"writes", stats.write_copies},
          {"reads", stats.read_copies},
          {"pieces", engine.guest_data().copied_pieces()}}},
        {"persistent-grants", engine.guest_data().mapped_pages()},
        {"waited",
         {{"for-memory", stats.waited_for_memory}, {"for-range", stats.waited_for_range}, {"parked", stats.parked}}},
        {"polling",
         {{"guest-window-ns", connection.poller().window(Poller::For::guest).count()},
          {"disk-window-ns", connection.poller().window(Poller::For::disk).count()},
          {"hits", connection.poller().hits()},
          {"misses", connection.poller().misses()}}}};
}

const char* state_name(Vbd::State state) {
    switch (state) {
        case Vbd::State::closed:
            return "closed";
        case Vbd::State::open:
            return "open";
        case Vbd::State::paused:
            return "paused";
    }
    return "unknown";
}

}  // namespace

ipc::Json Vbd::stats() const {
    const IoQueue::Stats& aio = io_.stats();
    Json json = {{"state", state_name(state_)},
                 {"connected", connection_ != nullptr},
                 {"flush-failed", flush_failed_ || (connection_ && connection_->engine().flush_failed())},
                 {"aio",
                  {{"slots", io_.slots()},
                   {"in-kernel", io_.in_kernel()},
                   {"submits", aio.submits},
                   {"submitted", aio.submitted},
                   {"resubmitted", aio.resubmitted},
                   {"refused-submits", aio.refused_submits},
                   {"reaped", aio.reaped},
                   {"waiting-max", aio.waiting_max}}}};
    if (state_ != State::closed) {
        json["image"] = {{"format", image_.format}, {"path", image_.path}, {"device", ipc::Json(describe())}};
    }
    json.update(ipc::Json(problems()));
    if (driver_) {
        const ImageActivity activity = driver_->activity();
        json["image"]["growth"] = {
            {"growths", activity.growths}, {"bytes", activity.grown_bytes}, {"waited", activity.waited_for_growth}};
    }
    if (connection_) json["connection"] = connection_stats(*connection_, io_.refused_count(), loop_.clock().now());
    if (recorder_) json["recording"] = {{"recorded", recorder_->recorded()}, {"lost", recorder_->lost()}};
    return json;
}

}  // namespace blktap
