// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The trace of a disk's requests: what tapdisk's "record" writes and ring-replay plays. Encoding and decoding only,
// over bytes; docs/formats/trace.md is the format's page.
//
// A file is one line of JSON (the header, ended by '\n'), then records, little-endian, each a fixed part of 28 bytes
// and, when has_shapes, one byte for each segment: first_sector << 4 | last_sector. Data is never recorded.
//
// Tested by tests/unit/ring/trace_test.cpp, tests/fuzz/fuzz_trace.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libblktap/base/error.hpp"
#include "libblktap/ring/request.hpp"

namespace blktap::ring {

inline constexpr unsigned trace_version = 1;
inline constexpr std::size_t trace_record_fixed_bytes = 28;
inline constexpr std::size_t trace_record_max_bytes = trace_record_fixed_bytes + segments_indirect_max;
inline constexpr std::size_t trace_header_max_bytes = 4096;  ///< without '\n'; a longer line is not a header
inline constexpr std::uint32_t trace_lost_max = 65535;       ///< lost_before saturates here: 16 bits in the file

struct TraceHeader {
    std::uint64_t size_sectors = 0;   ///< of the recorded device
    unsigned queue_count = 1;         ///< 1 to 256
    std::string protocol = "native";  ///< a name of parse_protocol()
    bool persistent = false;
};

/// One request as the guest sent it, good or bad.
struct TraceRecord {
    std::uint64_t time_ns = 0;  ///< since the recording began
    std::uint64_t sector_number = 0;
    /// Read, write, barrier, flush: sectors of the segments. Discard: as the guest wrote it, capped at 2^32 - 1.
    std::uint32_t sector_count = 0;
    std::uint16_t segment_count = 0;
    std::uint8_t operation = 0;  ///< wire value; the inner one of an indirect request
    std::uint8_t queue = 0;
    bool indirect = false;
    bool rejected = false;          ///< the judge answered it with an error
    std::uint32_t lost_before = 0;  ///< requests before this one that the recorder had no room for (saturating)
    /// Decoding only. Present when some segment is not the full page [0, 7]; else empty. 15 stands for 15 or more.
    std::vector<std::uint8_t> shapes;
};

/// The header line, without the '\n' that ends it in a file.
std::string encode_trace_header(const TraceHeader& header);
/// Parses the header line (without '\n'). Errors: Errc::bad_message, bad_version.
Result<TraceHeader> decode_trace_header(std::string_view line);

/// Writes a record to `out`, which is at least trace_record_max_bytes long; returns the number of bytes.
/// `record.shapes` is not used: `segments` are the request's, judged or not. Their shapes are written if one is not a
/// full page and there are `record.segment_count` of them (of a request that was rejected for its count, fewer are
/// known). Allocates nothing.
std::size_t encode_trace_record(const TraceRecord& record, std::span<const Segment> segments,
                                std::span<std::byte> out) noexcept;
/// Reads the record at the start of `bytes` and removes it from `bytes`; nullopt if `bytes` holds no whole record.
/// Errors: Errc::bad_message for a record that no encoder writes.
Result<std::optional<TraceRecord>> decode_trace_record(std::span<const std::byte>& bytes);

}  // namespace blktap::ring
