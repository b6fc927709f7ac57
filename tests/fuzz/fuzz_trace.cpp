// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Fuzzes the trace's decoder: the bytes are a trace file. What is accepted reads the same when it is written again, a
// record to the very byte.
#include <algorithm>
#include <cstdint>

#include "libblktap/base/assert.hpp"
#include "libblktap/ring/trace.hpp"

namespace blktap::ring {
namespace {

void check_header(std::string_view line) {
    const auto header = decode_trace_header(line);
    if (!header) return;
    const std::string written = encode_trace_header(header.value());
    const TraceHeader again = decode_trace_header(written).value();
    BLKTAP_ASSERT(again.size_sectors == header.value().size_sectors);
    BLKTAP_ASSERT(again.queue_count == header.value().queue_count);
    BLKTAP_ASSERT(again.protocol == header.value().protocol);
    BLKTAP_ASSERT(again.persistent == header.value().persistent);
    BLKTAP_ASSERT(encode_trace_header(again) == written);
}

void check_record(const TraceRecord& record, std::span<const std::byte> bytes) {
    BLKTAP_ASSERT(record.shapes.empty() || record.shapes.size() == record.segment_count);
    std::vector<Segment> segments;
    for (const std::uint8_t shape : record.shapes) {
        segments.push_back({0, static_cast<std::uint8_t>(shape >> 4), static_cast<std::uint8_t>(shape & 15), 0});
    }
    std::byte written[trace_record_max_bytes];
    const std::size_t size_bytes = encode_trace_record(record, segments, written);
    BLKTAP_ASSERT(std::ranges::equal(bytes, std::span(written).first(size_bytes)));
}

void check_records(std::span<const std::byte> bytes) {
    while (true) {
        const auto before = bytes;
        const auto record = decode_trace_record(bytes);
        if (!record || !record.value()) {
            BLKTAP_ASSERT(bytes.size() == before.size());
            return;
        }
        check_record(*record.value(), before.first(before.size() - bytes.size()));
    }
}

}  // namespace
}  // namespace blktap::ring

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
    const auto line_end = static_cast<std::size_t>(std::find(data, data + size, std::uint8_t{'\n'}) - data);
    blktap::ring::check_header({reinterpret_cast<const char*>(data), line_end});
    blktap::ring::check_records(bytes.subspan(std::min(size, line_end + 1)));
    return 0;
}
