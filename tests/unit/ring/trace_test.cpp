// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The trace's encoding: round trips, the bytes of the documented example, and what is refused.
#include "libblktap/ring/trace.hpp"

#include "tests/support/catch.hpp"
#include "tests/unit/ring/seeded_random.hpp"

using namespace blktap;
using namespace blktap::ring;

namespace {

std::vector<std::byte> encode(const TraceRecord& record, std::span<const Segment> segments = {}) {
    std::vector<std::byte> bytes(trace_record_max_bytes);
    bytes.resize(encode_trace_record(record, segments, bytes));
    return bytes;
}

Result<std::optional<TraceRecord>> decode(std::span<const std::byte> bytes) {
    return decode_trace_record(bytes);
}

const std::string good_header =
    R"({"format":"blktap-trace","version":1,"size_sectors":8,"queue_count":2,"protocol":"native","persistent":true})";

std::string header_with(std::string_view from, std::string_view to) {
    std::string text = good_header;
    const auto position = text.find(from);
    REQUIRE(position != std::string::npos);
    return text.replace(position, from.size(), to);
}

}  // namespace

TEST_CASE("trace: a header comes back as it was written", "[unit][ring]") {
    const std::string line = encode_trace_header({1ull << 40, 4, "x86_32-abi", true});
    CHECK(line.find('\n') == std::string::npos);
    const TraceHeader header = decode_trace_header(line).value();
    CHECK(header.size_sectors == 1ull << 40);
    CHECK(header.queue_count == 4);
    CHECK(header.protocol == "x86_32-abi");
    CHECK(header.persistent);
}

TEST_CASE("trace: a header may have fields that we do not know", "[unit][ring]") {
    CHECK(decode_trace_header(good_header).value().queue_count == 2);
    CHECK(decode_trace_header(header_with("{", R"({"recorded_by":[1,{}],)")).has_value());
}

TEST_CASE("trace: another version is refused as such", "[unit][ring]") {
    CHECK(decode_trace_header(header_with("\"version\":1", "\"version\":2")).error() == Errc::bad_version);
    CHECK(decode_trace_header(header_with("\"version\":1", "\"version\":0")).error() == Errc::bad_version);
}

TEST_CASE("trace: a malformed header is refused", "[unit][ring][hostile]") {
    const std::string deep(4096, '[');
    const std::string lines[] = {
        "",
        "{",
        "[]",
        "null",
        "1",
        "\"blktap-trace\"",
        "{}",
        "\xff\xfe",
        deep,
        good_header + "x",
        std::string(5000, ' ') + good_header,
        header_with("blktap-trace", "other"),
        header_with("\"blktap-trace\"", "7"),
        header_with("\"version\":1,", ""),
        header_with("\"version\":1", "\"version\":\"1\""),
        header_with("\"version\":1", "\"version\":-1"),
        header_with("\"size_sectors\":8,", ""),
        header_with("\"size_sectors\":8", "\"size_sectors\":-8"),
        header_with("\"size_sectors\":8", "\"size_sectors\":8.5"),
        header_with("\"size_sectors\":8", "\"size_sectors\":18446744073709551615"),
        header_with("\"size_sectors\":8", "\"size_sectors\":99999999999999999999999"),
        header_with("\"queue_count\":2", "\"queue_count\":0"),
        header_with("\"queue_count\":2", "\"queue_count\":257"),
        header_with("\"queue_count\":2", "\"queue_count\":4294967297"),
        header_with("\"native\"", "\"x\""),
        header_with("\"native\"", "null"),
        header_with("true", "1"),
        header_with("true", "\"true\""),
    };
    for (const auto& line : lines) {
        INFO(line);
        const auto header = decode_trace_header(line);
        REQUIRE_FALSE(header.has_value());
        CHECK(header.error() == Errc::bad_message);
    }
}

TEST_CASE("trace: a record of full pages is 28 bytes, as documented", "[unit][ring]") {
    TraceRecord record;
    record.time_ns = 0x0807060504030201;
    record.sector_number = 0x100f0e0d0c0b0a09;
    record.sector_count = 0x14131211;
    record.segment_count = 2;
    record.lost_before = 0x1817;
    record.operation = 1;
    record.queue = 0x1a;
    record.rejected = true;
    const std::array<Segment, 2> full{Segment{9, 0, 7, 0}, Segment{9, 0, 7, 0}};
    const auto bytes = encode(record, full);
    const std::uint8_t expected[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a,
                                     0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14,
                                     0x02, 0x00, 0x17, 0x18, 0x01, 0x1a, 0x02, 0x00};
    REQUIRE(bytes.size() == std::size(expected));
    for (std::size_t i = 0; i < bytes.size(); ++i)
        CHECK(bytes[i] == std::byte{expected[i]});
}

TEST_CASE("trace: shapes are written when one segment is not a full page", "[unit][ring]") {
    TraceRecord record;
    record.segment_count = 3;
    const std::array<Segment, 3> segments{Segment{9, 0, 7, 0}, Segment{9, 2, 5, 0}, Segment{9, 200, 15, 0}};
    const auto bytes = encode(record, segments);
    CHECK(bytes.size() == trace_record_fixed_bytes + 3);
    CHECK(decode(bytes).value()->shapes == std::vector<std::uint8_t>{0x07, 0x25, 0xff});
}

TEST_CASE("trace: a request whose segments are not all known has no shapes", "[unit][ring]") {
    TraceRecord record;
    record.segment_count = 200;
    record.rejected = true;
    const std::array<Segment, 11> segments{};
    CHECK(encode(record, segments).size() == trace_record_fixed_bytes);
    record.segment_count = 300;
    CHECK(encode(record, std::vector<Segment>(300)).size() == trace_record_fixed_bytes);
}

TEST_CASE("trace: the count of lost requests saturates", "[unit][ring]") {
    TraceRecord record;
    record.lost_before = 65534;
    CHECK(decode(encode(record)).value()->lost_before == 65534);
    record.lost_before = 65536;
    CHECK(decode(encode(record)).value()->lost_before == trace_lost_max);
}

TEST_CASE("trace: records come back as they were written, one after the other", "[unit][ring][property]") {
    test::SeededRandom random;
    INFO("seed " << random.seed());
    std::vector<TraceRecord> written;
    std::vector<std::byte> file;
    for (int i = 0; i < 2000; ++i) {
        TraceRecord record;
        record.time_ns = random.any<std::uint64_t>();
        record.sector_number = random.any<std::uint64_t>();
        record.sector_count = random.any<std::uint32_t>();
        record.segment_count = random.between<std::uint16_t>(0, 256);
        record.operation = random.any<std::uint8_t>();
        record.queue = random.any<std::uint8_t>();
        record.indirect = random.one_in(2);
        record.rejected = random.one_in(2);
        record.lost_before = random.between<std::uint16_t>(0, 65535);
        std::vector<Segment> segments(record.segment_count, Segment{1, 0, 7, 0});
        if (!segments.empty() && random.one_in(2)) {
            segments.back() = {1, random.between<std::uint8_t>(1, 15), random.between<std::uint8_t>(0, 15), 0};
            record.shapes.assign(segments.size(), 0x07);
            record.shapes.back() =
                static_cast<std::uint8_t>(segments.back().first_sector << 4 | segments.back().last_sector);
        }
        const auto bytes = encode(record, segments);
        file.insert(file.end(), bytes.begin(), bytes.end());
        written.push_back(record);
    }
    std::span<const std::byte> rest = file;
    for (const TraceRecord& record : written) {
        const TraceRecord read = decode_trace_record(rest).value().value();
        CHECK(read.time_ns == record.time_ns);
        CHECK(read.sector_number == record.sector_number);
        CHECK(read.sector_count == record.sector_count);
        CHECK(read.segment_count == record.segment_count);
        CHECK(read.operation == record.operation);
        CHECK(read.queue == record.queue);
        CHECK(read.indirect == record.indirect);
        CHECK(read.rejected == record.rejected);
        CHECK(read.lost_before == record.lost_before);
        CHECK(read.shapes == record.shapes);
    }
    CHECK(rest.empty());
}

TEST_CASE("trace: a record cut short anywhere is not there yet, and nothing is dropped", "[unit][ring][hostile]") {
    TraceRecord record;
    record.segment_count = 5;
    const auto bytes = encode(record, std::vector<Segment>(5));
    REQUIRE(bytes.size() == trace_record_fixed_bytes + 5);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        auto cut = std::span(bytes).first(size);
        std::span<const std::byte> rest = cut;
        CHECK_FALSE(decode_trace_record(rest).value().has_value());
        CHECK(rest.size() == size);
    }
}

TEST_CASE("trace: a record that no encoder writes is refused", "[unit][ring][hostile]") {
    TraceRecord record;
    record.segment_count = 2;
    const auto good = encode(record, std::vector<Segment>(2));
    const auto changed = [&good](std::size_t offset, std::uint8_t value) {
        auto bytes = good;
        bytes[offset] = std::byte{value};
        bytes.resize(2000);
        return decode(bytes);
    };
    CHECK(changed(26, 0x04).has_value());
    CHECK(changed(26, 0x0c).error() == Errc::bad_message);  // an unknown flag
    CHECK(changed(26, 0x84).error() == Errc::bad_message);
    CHECK(changed(27, 1).error() == Errc::bad_message);     // the reserved byte
    CHECK(changed(20, 0).error() == Errc::bad_message);     // shapes of no segments
    CHECK(changed(21, 0xff).error() == Errc::bad_message);  // shapes of more than 256
    auto all_full = good;
    all_full[28] = all_full[29] = std::byte{0x07};
    CHECK(decode(all_full).error() == Errc::bad_message);
}
