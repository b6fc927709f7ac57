// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A slot's tag is the number of its record. When the times of a trace cannot be kept, requests wait in order; none is
// dropped.
#include "tests/replay/trace/trace_player.hpp"

#include <algorithm>
#include <cmath>

#include "tests/replay/progress.hpp"

namespace blktap::replay {
namespace {

constexpr SegmentShape full_page{0, 7};

std::size_t described_segments(const ring::TraceRecord& record) noexcept {
    if (static_cast<ring::Operation>(record.operation) == ring::Operation::discard) return 0;
    const std::size_t carried = record.indirect ? ring::segments_indirect_max : ring::segments_direct_max;
    return std::min<std::size_t>(record.segment_count, carried);
}

void print_report(const Trace& trace, const TraceTraffic& traffic, const Statistics& statistics, bool json) {
    if (json) {
        nlohmann::json report = to_json_report(statistics);
        report["newly_rejected"] = traffic.newly_rejected();
        report["newly_accepted"] = traffic.newly_accepted();
        report["lost_in_recording"] = traffic.lost_in_recording();
        report["cut_short"] = trace.cut_short;
        std::printf("%s\n", report.dump(2).c_str());
        return;
    }
    std::printf("%srecording    %zu requests%s, %llu lost while recording\n", format_table(statistics).c_str(),
                trace.records.size(), trace.cut_short ? " (cut short)" : "",
                static_cast<unsigned long long>(traffic.lost_in_recording()));
    std::printf("differences  %llu rejected now and not then, %llu rejected then and not now\n",
                static_cast<unsigned long long>(traffic.newly_rejected()),
                static_cast<unsigned long long>(traffic.newly_accepted()));
}

FrontendOptions recorded_frontend(FrontendOptions options, const ring::TraceHeader& header) {
    if (header.queue_count > ipc::queues_max)
        throw std::runtime_error("the trace has more queues than a disk can have");
    options.queue_count = header.queue_count;
    options.protocol = *ring::parse_protocol(header.protocol);
    options.persistent = header.persistent;
    return options;
}

}  // namespace

std::uint32_t pages_of_largest(const Trace& trace) noexcept {
    std::size_t pages = 1;
    for (const ring::TraceRecord& record : trace.records)
        pages = std::max(pages, described_segments(record));
    return static_cast<std::uint32_t>(pages);
}

Exit run_trace(const Target& target, const TraceOptions& options) {
    const Trace trace = load_trace(options.file);
    if (options.print_only) {
        print_trace(trace, stdout);
        return Exit::okay;
    }
    const auto connection = target.open();
    Session session(*connection, recorded_frontend(target.frontend, trace.header), target.interrupt_fd);
    const MonotonicClock clock;
    Pump pump(session, clock, {options.depth, pages_of_largest(trace), false, target.timeout, progress_line()});
    TraceTraffic traffic(trace, options.speed, clock.now());
    Statistics statistics;
    pump.run(traffic, statistics);
    session.disconnect();
    print_report(trace, traffic, statistics, options.json);
    return traffic.newly_rejected() + traffic.newly_accepted() == 0 ? Exit::okay : Exit::failed;
}

TraceTraffic::TraceTraffic(const Trace& trace, double speed, Nanoseconds began)
    : trace_(trace),
      speed_(speed),
      began_(began),
      queued_(trace.header.queue_count),
      next_(trace.header.queue_count),
      left_(trace.records.size()) {
    for (std::size_t i = 0; i < trace.records.size(); ++i)
        queued_[trace.records[i].queue].push_back(i);
    shape_.reserve(ring::segments_indirect_max);
}

Nanoseconds TraceTraffic::due(std::size_t record) const noexcept {
    if (speed_ == 0) return began_;
    // From the first record on: the time before it is of nobody's interest. Bounded, since a trace may say anything.
    constexpr double far = 1e18;
    const double since_first =
        static_cast<double>(trace_.records[record].time_ns) - static_cast<double>(trace_.records.front().time_ns);
    return began_ + Nanoseconds(static_cast<Nanoseconds::rep>(std::clamp(since_first / speed_, 0.0, far)));
}

Traffic::Next TraceTraffic::next(Slot& slot, Nanoseconds now) {
    if (left_ == 0) return Next::finished;
    const auto& records = queued_[slot.queue];
    std::size_t& position = next_[slot.queue];
    if (position == records.size() || due(records[position]) > now) return Next::later;
    slot.tag = records[position++];
    --left_;
    set_work(slot, trace_.records[slot.tag]);
    return Next::request;
}

void TraceTraffic::set_work(Slot& slot, const ring::TraceRecord& record) noexcept {
    shape_.assign(described_segments(record), full_page);
    for (std::size_t i = 0; i < std::min(shape_.size(), record.shapes.size()); ++i)
        shape_[i] = {static_cast<std::uint8_t>(record.shapes[i] >> 4),
                     static_cast<std::uint8_t>(record.shapes[i] & 0xf)};
    slot.work = {record.operation, record.indirect, record.segment_count, record.sector_number, 0, shape_};
    if (static_cast<ring::Operation>(record.operation) == ring::Operation::discard)
        slot.work.discard_sectors = record.sector_count;
}

void TraceTraffic::completed(Slot& slot, ring::Status status) {
    const bool rejected = status != ring::Status::okay;
    const bool rejected_then = trace_.records[slot.tag].rejected;
    newly_rejected_ += rejected && !rejected_then ? 1 : 0;
    newly_accepted_ += !rejected && rejected_then ? 1 : 0;
}

Nanoseconds TraceTraffic::wake_at(Nanoseconds now) const noexcept {
    Nanoseconds earliest = Nanoseconds::max();
    for (std::size_t queue = 0; queue < queued_.size(); ++queue) {
        if (next_[queue] == queued_[queue].size()) continue;
        // What is due already waits for a slot, not for time.
        const Nanoseconds when = due(queued_[queue][next_[queue]]);
        if (when > now) earliest = std::min(earliest, when);
    }
    return earliest;
}

void TraceTraffic::stop() noexcept {
    left_ = 0;
}

std::uint64_t TraceTraffic::lost_in_recording() const noexcept {
    std::uint64_t lost = 0;
    for (const ring::TraceRecord& record : trace_.records)
        lost += record.lost_before;
    return lost;
}

}  // namespace blktap::replay
