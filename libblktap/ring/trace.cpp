// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// docs/formats/trace.md has the tables. Decoded bytes are hostile: lengths are checked before bytes are read, and bytes
// that no encoder writes are refused.
#include "libblktap/ring/trace.hpp"

#include <algorithm>
#include <limits>

#include <boost/endian/conversion.hpp>
#include <nlohmann/json.hpp>

#include "libblktap/base/assert.hpp"
#include "libblktap/base/units.hpp"

namespace blktap::ring {
namespace {

constexpr std::string_view format_name = "blktap-trace";
constexpr unsigned queue_count_max = 256;  // the record's queue is one byte

// Offsets in a record's fixed part.
constexpr std::size_t time_offset = 0;
constexpr std::size_t sector_number_offset = 8;
constexpr std::size_t sector_count_offset = 16;
constexpr std::size_t segment_count_offset = 20;
constexpr std::size_t lost_before_offset = 22;
constexpr std::size_t operation_offset = 24;
constexpr std::size_t queue_offset = 25;
constexpr std::size_t flags_offset = 26;
constexpr std::size_t reserved_offset = 27;
static_assert(reserved_offset + 1 == trace_record_fixed_bytes);

constexpr std::uint8_t flag_indirect = 1;
constexpr std::uint8_t flag_rejected = 2;
constexpr std::uint8_t flag_has_shapes = 4;
constexpr std::uint8_t flags_known = flag_indirect | flag_rejected | flag_has_shapes;

constexpr std::uint8_t full_page_shape = sectors_per_page - 1;  // first 0, last 7
constexpr std::uint8_t nibble_max = 15;

template <class Field>
void put(std::span<std::byte> record, std::size_t offset, Field field) noexcept {
    boost::endian::endian_store<Field, sizeof(Field), boost::endian::order::little>(
        reinterpret_cast<unsigned char*>(record.data() + offset), field);
}

template <class Field>
Field get(std::span<const std::byte> record, std::size_t offset) noexcept {
    return boost::endian::endian_load<Field, sizeof(Field), boost::endian::order::little>(
        reinterpret_cast<const unsigned char*>(record.data() + offset));
}

// A sector past 15 is as far outside the page as 15 is.
std::uint8_t shape_of(const Segment& segment) noexcept {
    const auto first = std::min(segment.first_sector, nibble_max);
    const auto last = std::min(segment.last_sector, nibble_max);
    return static_cast<std::uint8_t>(first << 4 | last);
}

bool is_full_page(std::uint8_t shape) noexcept {
    return shape == full_page_shape;
}

/// Returns the segments whose shapes are recorded: none unless all are known and at least one is not a full page.
std::span<const Segment> shaped(const TraceRecord& record, std::span<const Segment> segments) noexcept {
    const bool all_known = segments.size() == record.segment_count && segments.size() <= segments_indirect_max;
    const auto full = [](const Segment& segment) { return is_full_page(shape_of(segment)); };
    return all_known && !std::ranges::all_of(segments, full) ? segments : std::span<const Segment>{};
}

}  // namespace

std::string encode_trace_header(const TraceHeader& header) {
    const nlohmann::ordered_json json{{"format", format_name},
                                      {"version", trace_version},
                                      {"size_sectors", header.size_sectors},
                                      {"queue_count", header.queue_count},
                                      {"protocol", header.protocol},
                                      {"persistent", header.persistent}};
    return json.dump();
}

Result<TraceHeader> decode_trace_header(std::string_view line) {
    if (line.size() > trace_header_max_bytes) return Errc::bad_message;
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || json.value("format", nlohmann::json()) != format_name) return Errc::bad_message;
    const auto field = [&json](const char* name) { return json.value(name, nlohmann::json()); };

    const auto version = field("version");
    if (!version.is_number_unsigned()) return Errc::bad_message;
    if (version != trace_version) return Errc::bad_version;

    const auto size_sectors = field("size_sectors");
    const auto queue_count = field("queue_count");
    const auto protocol = field("protocol");
    const auto persistent = field("persistent");
    const bool types_right = size_sectors.is_number_unsigned() && queue_count.is_number_unsigned() &&
                             protocol.is_string() && persistent.is_boolean();
    if (!types_right) return Errc::bad_message;

    constexpr std::uint64_t size_sectors_max = std::numeric_limits<std::uint64_t>::max() / sector_size_bytes;
    const auto queues = queue_count.get<std::uint64_t>();
    const bool values_right = size_sectors.get<std::uint64_t>() <= size_sectors_max && queues >= 1 &&
                              queues <= queue_count_max &&
                              parse_protocol(protocol.get_ref<const std::string&>()).has_value();
    if (!values_right) return Errc::bad_message;
    return TraceHeader{size_sectors.get<std::uint64_t>(), static_cast<unsigned>(queues), protocol.get<std::string>(),
                       persistent.get<bool>()};
}

std::size_t encode_trace_record(const TraceRecord& record, std::span<const Segment> segments,
                                std::span<std::byte> out) noexcept {
    BLKTAP_ASSERT(out.size() >= trace_record_max_bytes);
    const std::span<const Segment> shapes = shaped(record, segments);
    const auto flags =
        static_cast<std::uint8_t>((record.indirect ? flag_indirect : 0) | (record.rejected ? flag_rejected : 0) |
                                  (shapes.empty() ? 0 : flag_has_shapes));
    put(out, time_offset, record.time_ns);
    put(out, sector_number_offset, record.sector_number);
    put(out, sector_count_offset, record.sector_count);
    put(out, segment_count_offset, record.segment_count);
    put(out, lost_before_offset, static_cast<std::uint16_t>(std::min(record.lost_before, trace_lost_max)));
    put(out, operation_offset, record.operation);
    put(out, queue_offset, record.queue);
    put(out, flags_offset, flags);
    put(out, reserved_offset, std::uint8_t{0});
    std::ranges::transform(shapes, out.begin() + trace_record_fixed_bytes,
                           [](const Segment& segment) { return std::byte{shape_of(segment)}; });
    return trace_record_fixed_bytes + shapes.size();
}

Result<std::optional<TraceRecord>> decode_trace_record(std::span<const std::byte>& bytes) {
    if (bytes.size() < trace_record_fixed_bytes) return std::optional<TraceRecord>{};
    TraceRecord record;
    record.time_ns = get<std::uint64_t>(bytes, time_offset);
    record.sector_number = get<std::uint64_t>(bytes, sector_number_offset);
    record.sector_count = get<std::uint32_t>(bytes, sector_count_offset);
    record.segment_count = get<std::uint16_t>(bytes, segment_count_offset);
    record.lost_before = get<std::uint16_t>(bytes, lost_before_offset);
    record.operation = get<std::uint8_t>(bytes, operation_offset);
    record.queue = get<std::uint8_t>(bytes, queue_offset);
    const auto flags = get<std::uint8_t>(bytes, flags_offset);
    record.indirect = (flags & flag_indirect) != 0;
    record.rejected = (flags & flag_rejected) != 0;
    if ((flags & ~flags_known) != 0 || bytes[reserved_offset] != std::byte{0}) return Errc::bad_message;

    std::size_t record_bytes = trace_record_fixed_bytes;
    if ((flags & flag_has_shapes) != 0) {
        if (record.segment_count > segments_indirect_max) return Errc::bad_message;
        record_bytes += record.segment_count;
        if (bytes.size() < record_bytes) return std::optional<TraceRecord>{};
        const auto shapes = bytes.first(record_bytes).subspan(trace_record_fixed_bytes);
        std::ranges::transform(shapes, std::back_inserter(record.shapes),
                               [](std::byte shape) { return std::to_integer<std::uint8_t>(shape); });
        if (std::ranges::all_of(record.shapes, is_full_page)) return Errc::bad_message;  // so are no shapes at all
    }
    bytes = bytes.subspan(record_bytes);
    return std::optional(std::move(record));
}

}  // namespace blktap::ring
