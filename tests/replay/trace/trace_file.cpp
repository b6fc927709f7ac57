// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A record that is cut off at the end is normal: recording ends when a tapdisk dies. Anything else wrong is an error.
#include "tests/replay/trace/trace_file.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace blktap::replay {
namespace {

std::string describe_shapes(const std::vector<std::uint8_t>& shapes) {
    std::string text;
    for (const std::uint8_t shape : shapes) {
        text += text.empty() ? " segments=" : ",";
        text += std::to_string(shape >> 4) + "-" + std::to_string(shape & 0xf);
    }
    return text;
}

}  // namespace

Trace parse_trace(const std::string& name, std::span<const std::byte> bytes) {
    const auto* text = reinterpret_cast<const char*>(bytes.data());
    const auto line_end = std::find(text, text + bytes.size(), '\n');
    const auto line_bytes = static_cast<std::size_t>(line_end - text);
    const auto header = ring::decode_trace_header({text, line_bytes});
    if (!header || line_bytes == bytes.size()) {
        const std::error_code why = header ? make_error_code(Errc::bad_message) : header.error();
        throw std::runtime_error(name + ": not a trace: " + why.message());
    }

    Trace trace{header.value(), {}, false};
    auto rest = bytes.subspan(line_bytes + 1);
    while (!rest.empty()) {
        const std::size_t offset = bytes.size() - rest.size();
        auto record = ring::decode_trace_record(rest);
        if (!record)
            throw std::runtime_error(name + ": byte " + std::to_string(offset) + ": " + record.error().message());
        trace.cut_short = !record.value();
        if (trace.cut_short) break;
        if (record.value()->queue >= trace.header.queue_count)
            throw std::runtime_error(name + ": byte " + std::to_string(offset) + ": a queue that the header has not");
        trace.records.push_back(std::move(*record.value()));
    }
    return trace;
}

Trace load_trace(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::system_error(errno, std::generic_category(), path);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    return parse_trace(path, std::as_bytes(std::span(text)));
}

std::string operation_name(std::uint8_t operation) {
    switch (static_cast<ring::Operation>(operation)) {
        case ring::Operation::read:
            return "read";
        case ring::Operation::write:
            return "write";
        case ring::Operation::write_barrier:
            return "barrier";
        case ring::Operation::flush_diskcache:
            return "flush";
        case ring::Operation::discard:
            return "discard";
        case ring::Operation::indirect:
            return "indirect";
    }
    return "operation " + std::to_string(operation);
}

std::string describe_record(const ring::TraceRecord& record) {
    char text[160];
    std::snprintf(text, sizeof(text), "%.6f queue=%u %s%s sector=%llu sectors=%u nr_segments=%u",
                  static_cast<double>(record.time_ns) / 1e9, unsigned{record.queue}, record.indirect ? "indirect " : "",
                  operation_name(record.operation).c_str(), static_cast<unsigned long long>(record.sector_number),
                  record.sector_count, unsigned{record.segment_count});
    std::string line = text + describe_shapes(record.shapes);
    if (record.rejected) line += " rejected";
    if (record.lost_before != 0) line += " (" + std::to_string(record.lost_before) + " requests before it were lost)";
    return line;
}

void print_trace(const Trace& trace, std::FILE* out) {
    std::fprintf(out, "# disk of %llu sectors, %u queues, protocol %s, %s grants, %zu requests%s\n",
                 static_cast<unsigned long long>(trace.header.size_sectors), trace.header.queue_count,
                 trace.header.protocol.c_str(), trace.header.persistent ? "persistent" : "single-use",
                 trace.records.size(), trace.cut_short ? ", cut short" : "");
    for (const ring::TraceRecord& record : trace.records)
        std::fprintf(out, "%s\n", describe_record(record).c_str());
}

}  // namespace blktap::replay
