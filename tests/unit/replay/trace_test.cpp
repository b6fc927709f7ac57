// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include <array>
#include <cstring>
#include <unistd.h>

#include "tests/replay/trace/trace_player.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/replay/backend/machine.hpp"

using namespace blktap;
using namespace blktap::replay;
using Catch::Contains;

namespace {

/// A trace as a tapdisk would write it.
class Recording {
  public:
    explicit Recording(unsigned queues = 1) {
        text_ = ring::encode_trace_header({2048, queues, "x86_32-abi", true}) + "\n";
    }

    Recording& add(const ring::TraceRecord& record, std::vector<std::pair<std::uint8_t, std::uint8_t>> shapes = {}) {
        std::vector<ring::Segment> segments;
        for (const auto& [first, last] : shapes)
            segments.push_back({0, first, last, 0});
        std::array<std::byte, ring::trace_record_max_bytes> bytes{};
        const std::size_t size = ring::encode_trace_record(record, segments, bytes);
        text_.append(reinterpret_cast<const char*>(bytes.data()), size);
        return *this;
    }
    const std::string& text() const { return text_; }
    Trace parse() const { return parse_trace("test", std::as_bytes(std::span(text_))); }

  private:
    std::string text_;
};

ring::TraceRecord record(std::uint64_t time_ns, std::uint8_t operation, std::uint64_t sector, std::uint16_t segments) {
    ring::TraceRecord record;
    record.time_ns = time_ns;
    record.operation = operation;
    record.sector_number = sector;
    record.segment_count = segments;
    record.sector_count = segments * 8u;
    return record;
}

std::string error_of(const std::string& text) {
    try {
        parse_trace("test", std::as_bytes(std::span(text)));
    } catch (const std::runtime_error& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("trace: is read whole, and a record that is cut off is the end", "[unit][replay]") {
    Recording recording;
    recording.add(record(5, 0, 8, 1)).add(record(6, 1, 16, 2), {{0, 7}, {0, 3}});
    const Trace trace = recording.parse();
    CHECK(trace.records.size() == 2);
    CHECK(!trace.cut_short);
    CHECK(trace.header.persistent);
    const std::string cut = recording.text().substr(0, recording.text().size() - 1);
    const Trace shorter = parse_trace("test", std::as_bytes(std::span(cut)));
    CHECK(shorter.records.size() == 1);
    CHECK(shorter.cut_short);
}

TEST_CASE("trace: what is none is named", "[unit][replay]") {
    CHECK_THAT(error_of(""), Contains("test: not a trace"));
    CHECK_THAT(error_of("{}\n"), Contains("not a trace"));
    CHECK_THAT(error_of(ring::encode_trace_header({}).substr(0, 20)), Contains("not a trace"));
    ring::TraceRecord elsewhere = record(0, 0, 0, 1);
    elsewhere.queue = 1;
    CHECK_THAT(error_of(Recording().add(elsewhere).text()), Contains("a queue that the header has not"));
}

TEST_CASE("trace: a record as text has everything that was recorded", "[unit][replay]") {
    ring::TraceRecord bad = record(1'500'000'000, 1, 16, 2);
    bad.shapes = {0x07, 0x31};
    bad.rejected = true;
    bad.indirect = true;
    bad.lost_before = 3;
    CHECK(describe_record(bad) ==
          "1.500000 queue=0 indirect write sector=16 sectors=16 nr_segments=2 segments=0-7,3-1 "
          "rejected (3 requests before it were lost)");
    CHECK_THAT(describe_record(record(0, 77, 0, 0)), Contains("operation 77"));
}

TEST_CASE("trace: requests are asked again, and changed verdicts are counted", "[unit][replay]") {
    ring::TraceRecord rejected_then = record(2, 0, 0, 1);
    rejected_then.rejected = true;
    ring::TraceRecord on_queue_1 = record(3, 3, 0, 0);
    on_queue_1.queue = 1;
    ring::TraceRecord large = record(4, 0, 0, 40);
    large.indirect = true;
    ring::TraceRecord lying = record(5, 0, 0, 255);
    lying.rejected = true;
    ring::TraceRecord discard = record(7, 5, 8, 0);
    discard.sector_count = 8;
    const Trace trace = Recording(2)
                            .add(record(0, 1, 8, 2), {{0, 7}, {0, 3}})
                            .add(record(1, 0, 4096, 1))  // past the end of this disk
                            .add(rejected_then)
                            .add(on_queue_1)
                            .add(large)
                            .add(lying)
                            .add(discard)
                            .parse();
    CHECK(pages_of_largest(trace) == 40);

    Machine machine;
    FrontendOptions options = Machine::frontend();
    options.queue_count = 2;
    Session session(machine.backend, options);
    Pump pump(session, machine.clock, {4, pages_of_largest(trace)});
    TraceTraffic traffic(trace, 0, machine.clock.now());
    Statistics statistics;
    pump.run(traffic, statistics);
    CHECK(statistics.answered() == 7);
    CHECK(statistics.writes == 1);
    CHECK(statistics.discards == 1);
    CHECK(statistics.bytes == (12 + 8 + 40 * 8) * 512);
    CHECK(traffic.newly_rejected() == 1);
    CHECK(traffic.newly_accepted() == 1);
}

TEST_CASE("trace: times are kept from the first request on, and scaled", "[unit][replay]") {
    const Trace trace = Recording(2).add(record(1000, 3, 0, 0)).add(record(3000, 3, 0, 0)).parse();
    Slot slot;
    TraceTraffic traffic(trace, 2, Nanoseconds(50));
    CHECK(traffic.next(slot, Nanoseconds(50)) == Traffic::Next::request);
    CHECK(traffic.next(slot, Nanoseconds(1049)) == Traffic::Next::later);
    CHECK(traffic.wake_at(Nanoseconds(1049)) == Nanoseconds(1050));
    CHECK(traffic.wake_at(Nanoseconds(1050)) == Nanoseconds::max());
    CHECK(traffic.next(slot, Nanoseconds(1050)) == Traffic::Next::request);
    CHECK(traffic.next(slot, Nanoseconds(1050)) == Traffic::Next::finished);
}

TEST_CASE("trace: at full speed nothing waits, and a hostile time does no harm", "[unit][replay]") {
    const Trace trace = Recording().add(record(5, 3, 0, 0)).add(record(~std::uint64_t{0}, 3, 0, 0)).parse();
    Slot slot;
    TraceTraffic full(trace, 0, Nanoseconds(50));
    CHECK(full.next(slot, Nanoseconds(50)) == Traffic::Next::request);
    CHECK(full.next(slot, Nanoseconds(50)) == Traffic::Next::request);
    TraceTraffic slow(trace, 1e-300, Nanoseconds(50));
    CHECK(slow.next(slot, Nanoseconds(50)) == Traffic::Next::request);
    CHECK(slow.next(slot, Nanoseconds(50)) == Traffic::Next::later);
    CHECK(slow.wake_at(Nanoseconds(50)) > Nanoseconds(50));
}
