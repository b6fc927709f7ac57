// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/vbd_stats.hpp"

namespace blktap {
namespace {

using ipc::Json;

Json operation(const OperationStats& stats) {
    return {{"requests", stats.requests}, {"sectors", stats.sectors}, {"errors", stats.errors}};
}

Json requests(const RingStats& stats) {
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

Json waiting(const Disk& disk) {
    const auto oldest = std::chrono::duration_cast<std::chrono::milliseconds>(disk.scheduler().oldest_wait());
    return {{"no-space", disk.health().waiting().for_space},
            {"io-error", disk.health().waiting().for_health},
            {"storage-busy", disk.io().refused_count()},
            {"oldest-ms", oldest.count()},
            {"gave-up", disk.scheduler().parking().gave_up()}};
}

Json turns(const TurnStats& turns, const TurnMost& most) {
    return {{"count", turns.turns},
            {"longest-ns", turns.longest_ns},
            {"most-per-turn",
             {{"io-submits", turns.most_submits},
              {"descriptor-copies", most.descriptor_copies},
              {"write-copies", most.write_copies},
              {"read-copies", most.read_copies},
              {"notifies", most.notifies}}}};
}

const char* state_name(Disk::State state) {
    switch (state) {
        case Disk::State::closed:
            return "closed";
        case Disk::State::open:
            return "open";
        case Disk::State::paused:
            return "paused";
    }
    return "unknown";
}

}  // namespace

Json disk_stats(const Disk& disk) {
    const IoQueue::Stats& aio = disk.io().stats();
    Json json = {{"state", state_name(disk.state())},
                 {"recovering", disk.recovering()},
                 {"flush-failed", disk.health().flush_failed()},
                 {"aio",
                  {{"slots", disk.io().slots()},
                   {"in-kernel", disk.io().in_kernel()},
                   {"submits", aio.submits},
                   {"submitted", aio.submitted},
                   {"resubmitted", aio.resubmitted},
                   {"refused-submits", aio.refused_submits},
                   {"reaped", aio.reaped},
                   {"waiting-max", aio.waiting_max}}}};
    if (disk.state() != Disk::State::closed)
        json["image"] = {{"format", disk.image().format}, {"path", disk.image().path}};
    json.update(Json(disk.problems().told()));
    if (disk.driver() != nullptr) {
        const ImageActivity activity = disk.driver()->activity();
        json["image"]["growth"] = {
            {"growths", activity.growths}, {"bytes", activity.grown_bytes}, {"waited", activity.waited_for_growth}};
    }
    return json;
}

Json connection_stats(const Connection& connection, const Connections& all, const Disk& disk) {
    const RingClient& client = connection.client();
    const RingStats& stats = client.stats();
    const ipc::ConnectArguments& frontend = connection.frontend();
    const Scheduler& scheduler = disk.scheduler();
    const Parking& parking = scheduler.parking();
    return {{"name", frontend.connection},
            {"domain", frontend.domain},
            {"local", frontend.local},
            {"protocol", frontend.protocol},
            {"persistent", frontend.persistent},
            {"queues", frontend.queues.size()},
            {"ring-slots", client.queues().front().ring().slot_count()},
            {"adopted", stats.adopted},
            {"recoverable", connection.recoverable()},
            {"stopped-queues", stats.stopped_queues},
            {"taken", stats.taken},
            {"in-flight", client.unfinished()},
            {"parked", parking.parked().size()},
            {"waiting", waiting(disk)},
            {"allocation", allocation(scheduler.stats().allocation)},
            {"held-flushes", parking.held().size()},
            {"requests", requests(stats)},
            {"turns", turns(all.stats(), stats.turn_most)},
            {"wakeups", connection.wakeups()},
            {"notifies", stats.notifies},
            {"grant-copies",
             {{"descriptors", stats.descriptor_copies},
              {"writes", stats.write_copies},
              {"reads", stats.read_copies},
              {"pieces", client.guest_data().copied_pieces()}}},
            {"persistent-grants", client.guest_data().mapped_grants()},
            {"waited",
             {{"for-memory", stats.waited_for_memory},
              {"for-range", scheduler.stats().waited_for_range},
              {"parked", parking.times_parked()}}},
            {"polling",
             {{"guest-window-ns", all.poller().window(Poller::For::guest).count()},
              {"disk-window-ns", all.poller().window(Poller::For::disk).count()},
              {"hits", all.poller().hits()},
              {"misses", all.poller().misses()}}}};
}

}  // namespace blktap
