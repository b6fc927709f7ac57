// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Recording: the trace has the guest's requests, good or bad, the number of lost ones, and errors of writing are
// reported.
#include "tapdisk/ring/trace_recorder.hpp"

#include <fcntl.h>
#include <optional>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

#include "tests/support/catch.hpp"
#include "tests/support/thrown.hpp"
#include "tests/unit/tapdisk/stub_disk.hpp"

using namespace blktap;
using namespace blktap::testing;
using namespace std::chrono_literals;
using ring::Operation;
using ring::Status;

namespace {

struct Trace {
    ring::TraceHeader header;
    std::vector<ring::TraceRecord> records;
};

Trace parse(const std::string& text) {
    const std::size_t line = text.find('\n');
    REQUIRE(line != std::string::npos);
    Trace trace{ring::decode_trace_header(text.substr(0, line)).value(), {}};
    auto bytes = std::as_bytes(std::span(text)).subspan(line + 1);
    while (auto record = ring::decode_trace_record(bytes).value())
        trace.records.push_back(*record);
    REQUIRE(bytes.empty());
    return trace;
}

UniqueFd duplicate(const UniqueFd& fd) {
    return UniqueFd{::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)};
}

/// A file in memory that a recorder writes and the test reads.
struct TraceFile {
    UniqueFd fd{::memfd_create("trace", MFD_CLOEXEC | MFD_ALLOW_SEALING)};

    Trace read() const {
        std::string text(static_cast<std::size_t>(::lseek(fd.get(), 0, SEEK_END)), '\0');
        REQUIRE(::pread(fd.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
        return parse(text);
    }
};

std::error_code stop(VbdHarness& machine) {
    return machine.finish([&machine](Vbd::Done done) { machine.vbd().stop_recording(std::move(done)); });
}

}  // namespace

TEST_CASE("recording: each request is told as the guest sent it, with its time", "[unit][tapdisk]") {
    VbdHarness::Options options;
    options.frontend.queue_count = 2;
    VbdHarness machine{options};
    const TraceFile file;
    const GuestBuffer odd = machine.buffer({{1, 6}, {}, {7, 7}});
    REQUIRE(machine.run(machine.read(1, 0, odd)) == Status::okay);  // before: not told
    machine.vbd().start_recording(duplicate(file.fd));
    machine.clock().advance(5us);
    REQUIRE(machine.run(machine.write(2, 64, odd), 1) == Status::okay);
    machine.clock().advance(10us);
    REQUIRE(machine.run(machine.read(3, 128, machine.pages(20))) == Status::okay);
    REQUIRE(machine.run(VbdHarness::flush(4)) == Status::okay);
    REQUIRE(machine.run(VbdHarness::discard(5, {8, 16})) == Status::okay);
    REQUIRE(machine.run(machine.read(6, 1 << 20, odd)) == Status::error);
    ring::RawRequest unknown = machine.read(7, 3, odd);
    unknown.operation = 77;
    REQUIRE(machine.run(unknown) == Status::not_supported);
    REQUIRE_FALSE(stop(machine));
    REQUIRE(machine.run(machine.read(8, 0, odd)) == Status::okay);  // after: not told

    const Trace trace = file.read();
    CHECK(trace.header.size_sectors == 16 * 1024);
    CHECK(trace.header.queue_count == 2);
    CHECK(trace.header.protocol == "native");
    CHECK_FALSE(trace.header.persistent);
    REQUIRE(trace.records.size() == 6);
    const auto& [write, read, flush, discard, beyond, last] = std::tie(
        trace.records[0], trace.records[1], trace.records[2], trace.records[3], trace.records[4], trace.records[5]);
    CHECK((write.time_ns == 5000 && read.time_ns == 15000));
    CHECK((write.operation == 1 && write.sector_number == 64 && write.sector_count == 15 && write.queue == 1));
    CHECK(write.shapes == std::vector<std::uint8_t>{0x16, 0x07, 0x77});
    CHECK((read.operation == 0 && read.indirect && read.segment_count == 20 && read.sector_count == 160));
    CHECK((!write.indirect && !write.rejected && !read.rejected && read.queue == 0));
    CHECK((flush.operation == 3 && flush.segment_count == 0));
    CHECK((discard.operation == 5 && discard.sector_number == 8 && discard.sector_count == 16));
    CHECK((beyond.operation == 0 && beyond.rejected && beyond.sector_number == 1 << 20));
    CHECK((last.operation == 77 && last.rejected));
}

TEST_CASE("recording: goes on over a reconnection", "[unit][tapdisk]") {
    VbdHarness machine;
    const TraceFile file;
    machine.vbd().start_recording(duplicate(file.fd));
    REQUIRE(machine.run(machine.read(1, 11, machine.pages(1))) == Status::okay);
    REQUIRE_FALSE(machine.disconnect());
    machine.make_frontend({});
    machine.connect();
    REQUIRE(machine.run(machine.read(2, 22, machine.pages(1))) == Status::okay);
    REQUIRE_FALSE(stop(machine));
    const Trace trace = file.read();
    REQUIRE(trace.records.size() == 2);
    CHECK((trace.records[0].sector_number == 11 && trace.records[1].sector_number == 22));
}

TEST_CASE("recording: what was noted is in the file a second later, without a stop", "[unit][tapdisk]") {
    VbdHarness machine;
    const TraceFile file;
    machine.vbd().start_recording(duplicate(file.fd));
    const GuestBuffer page = machine.pages(1);
    for (std::uint64_t id = 1; id <= 3; ++id) {
        REQUIRE(machine.run(machine.read(id, 0, page)) == Status::okay);
        machine.clock().advance(1s);
        machine.run_until([&] { return file.read().records.size() == id; });
    }
    REQUIRE_FALSE(stop(machine));
}

TEST_CASE("recording: closing the disk, or shutting down, completes the trace", "[unit][tapdisk]") {
    VbdHarness machine;
    const TraceFile file;
    machine.vbd().start_recording(duplicate(file.fd));
    REQUIRE(machine.run(machine.read(1, 0, machine.pages(1))) == Status::okay);
    if (GENERATE(false, true)) {
        REQUIRE_FALSE(machine.close());
    } else {
        REQUIRE_FALSE(machine.shut_down());
    }
    CHECK(file.read().records.size() == 1);
    CHECK_FALSE(machine.vbd().stats().contains("recording"));
}

TEST_CASE("recording: only one at a time, and only of an open image", "[unit][tapdisk]") {
    VbdHarness machine;
    const TraceFile file;
    const auto start = [&] { machine.vbd().start_recording(duplicate(file.fd)); };
    const auto stop_it = [&] { machine.vbd().stop_recording([](std::error_code) {}); };
    CHECK(thrown(stop_it).code() == Errc::wrong_state);
    start();
    CHECK(thrown(start).code() == Errc::wrong_state);
    REQUIRE_FALSE(stop(machine));
    CHECK(thrown(stop_it).code() == Errc::wrong_state);
    REQUIRE_FALSE(machine.close());
    CHECK(thrown(start).code() == Errc::wrong_state);
}

TEST_CASE("recording: while a stop is under way another is refused, and closing waits for it", "[unit][tapdisk]") {
    VbdHarness machine;
    const TraceFile file;
    machine.vbd().start_recording(duplicate(file.fd));
    REQUIRE(machine.run(machine.read(1, 0, machine.pages(1))) == Status::okay);
    bool stopped = false;
    machine.vbd().stop_recording([&stopped](std::error_code) { stopped = true; });
    REQUIRE_FALSE(stopped);  // the workers' answer comes through the loop
    SECTION("another stop") {
        CHECK(thrown([&] { machine.vbd().stop_recording([](std::error_code) {}); }).code() == Errc::wrong_state);
    }
    SECTION("another start") {
        CHECK(thrown([&] { machine.vbd().start_recording(duplicate(file.fd)); }).code() == Errc::wrong_state);
    }
    SECTION("close") {
        REQUIRE_FALSE(machine.close());
        CHECK(stopped);
    }
    SECTION("shutdown") {
        REQUIRE_FALSE(machine.shut_down());
        CHECK(stopped);
    }
    machine.run_until([&] { return stopped; });
    CHECK(file.read().records.size() == 1);
}

TEST_CASE("recording: a file that cannot be written from the start is an error at once", "[unit][tapdisk]") {
    VbdHarness machine;
    const auto error =
        thrown([&] { machine.vbd().start_recording(UniqueFd{::open("/dev/full", O_WRONLY | O_CLOEXEC)}); });
    CHECK(error.code() == std::errc::no_space_on_device);
    CHECK(machine.run(machine.read(1, 0, machine.pages(1))) == Status::okay);
    machine.vbd().start_recording(duplicate(TraceFile{}.fd));
    REQUIRE_FALSE(stop(machine));
}

TEST_CASE("recording: a file that cannot be written later is told by stop", "[unit][tapdisk]") {
    VbdHarness machine;
    const TraceFile file;
    machine.vbd().start_recording(duplicate(file.fd));
    REQUIRE(::fcntl(file.fd.get(), F_ADD_SEALS, F_SEAL_GROW) == 0);
    REQUIRE(machine.run(machine.read(1, 0, machine.pages(1))) == Status::okay);
    CHECK(stop(machine) == std::errc::operation_not_permitted);
}

TEST_CASE("recording: when the writer cannot keep up requests are counted as lost and nothing waits",
          "[unit][tapdisk]") {
    ManualClock clock;
    EventLoop loop{clock};
    WorkerPool workers{loop, 1};
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const UniqueFd reader{ends[0]};
    std::optional<TraceRecorder> recorder{std::in_place, loop, workers, UniqueFd{ends[1]}, ring::TraceHeader{}};

    ring::RawRequest raw{};
    RequestSlot slot;
    slot.raw = &raw;
    constexpr std::uint64_t requests = 100'000;  // far more than two buffers hold, and nobody reads the pipe
    for (; raw.sector_number < requests; ++raw.sector_number)
        recorder->note(slot, false);
    const std::uint64_t recorded = recorder->recorded();
    const std::uint64_t lost = recorder->lost();
    CHECK(lost > 0);
    CHECK(recorded + lost == requests);

    std::string text;
    std::thread drain{[&] {
        char bytes[4096];
        for (ssize_t count; (count = ::read(reader.get(), bytes, sizeof bytes)) > 0;) {
            text.append(bytes, static_cast<std::size_t>(count));
        }
    }};
    while (workers.unfinished() > 0)
        loop.run_once();
    recorder->note(slot, false);  // there is room again
    bool stopped = false;
    recorder->stop([&stopped](std::error_code error) {
        CHECK_FALSE(error);
        stopped = true;
    });
    while (!stopped)
        loop.run_once();
    recorder.reset();  // closes the pipe, which ends the drain
    drain.join();

    const Trace trace = parse(text);
    REQUIRE(trace.records.size() == recorded + 1);
    CHECK(trace.records.back().sector_number == requests);
    CHECK(trace.records.back().lost_before == std::min<std::uint64_t>(lost, ring::trace_lost_max));
    CHECK(trace.records[recorded - 1].lost_before == 0);
}
