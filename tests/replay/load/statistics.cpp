// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// MB are 10^6 bytes, as fio's.
#include "tests/replay/load/statistics.hpp"

#include <array>
#include <cstdarg>
#include <cstdio>

namespace blktap::replay {
namespace {

double seconds(Nanoseconds time) noexcept {
    return std::chrono::duration<double>(time).count();
}
double microseconds(Nanoseconds time) noexcept {
    return std::chrono::duration<double, std::micro>(time).count();
}
double per_request_us(Nanoseconds time, std::uint64_t requests) noexcept {
    return requests == 0 ? 0 : microseconds(time) / static_cast<double>(requests);
}

__attribute__((format(printf, 2, 3))) void append_line(std::string& text, const char* format, ...) {
    std::array<char, 200> line;
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(line.data(), line.size(), format, arguments);
    va_end(arguments);
    text.append(line.data()).push_back('\n');
}

unsigned long long number(std::uint64_t value) noexcept {
    return value;
}

}  // namespace

void Statistics::count(std::uint8_t operation, ring::Status status, std::uint64_t data_bytes,
                       Nanoseconds took) noexcept {
    switch (static_cast<ring::Operation>(operation)) {
        case ring::Operation::read:
            ++reads;
            break;
        case ring::Operation::write:
        case ring::Operation::write_barrier:
            ++writes;
            break;
        case ring::Operation::flush_diskcache:
            ++flushes;
            break;
        case ring::Operation::discard:
            ++discards;
            break;
        default:
            ++others;
            break;
    }
    if (status == ring::Status::okay) {
        bytes += data_bytes;
    } else {
        ++(status == ring::Status::not_supported ? unsupported : errors);
    }
    latency.add(took);
}

double Statistics::per_second(std::uint64_t amount) const noexcept {
    return elapsed.count() == 0 ? 0 : static_cast<double>(amount) / seconds(elapsed);
}

std::string format_table(const Statistics& statistics) {
    std::string text;
    append_line(text, "requests     %llu in %.2f s: %llu reads, %llu writes, %llu flushes, %llu discards, %llu others",
                number(statistics.answered()), seconds(statistics.elapsed), number(statistics.reads),
                number(statistics.writes), number(statistics.flushes), number(statistics.discards),
                number(statistics.others));
    append_line(text, "not okay     %llu errors, %llu not supported", number(statistics.errors),
                number(statistics.unsupported));
    append_line(text, "throughput   %.0f IOPS, %.1f MB/s", statistics.per_second(statistics.answered()),
                statistics.per_second(statistics.bytes) / 1e6);
    const Histogram& latency = statistics.latency;
    append_line(text, "latency      p50 %.1f us, p99 %.1f us, p99.9 %.1f us, max %.1f us",
                microseconds(latency.quantile(0.5)), microseconds(latency.quantile(0.99)),
                microseconds(latency.quantile(0.999)), microseconds(latency.max()));
    if (statistics.backend_cpu) {
        append_line(text, "tapdisk CPU  %.2f s, %.2f us a request", seconds(*statistics.backend_cpu),
                    per_request_us(*statistics.backend_cpu, statistics.answered()));
    }
    append_line(text, "own CPU      %.2f s, %.2f us a request", seconds(statistics.own_cpu),
                per_request_us(statistics.own_cpu, statistics.answered()));
    return text;
}

nlohmann::json to_json_report(const Statistics& statistics) {
    const Histogram& latency = statistics.latency;
    nlohmann::json report{{"requests", statistics.answered()},
                          {"reads", statistics.reads},
                          {"writes", statistics.writes},
                          {"flushes", statistics.flushes},
                          {"discards", statistics.discards},
                          {"others", statistics.others},
                          {"errors", statistics.errors},
                          {"not_supported", statistics.unsupported},
                          {"bytes", statistics.bytes},
                          {"elapsed_s", seconds(statistics.elapsed)},
                          {"iops", statistics.per_second(statistics.answered())},
                          {"bytes_per_s", statistics.per_second(statistics.bytes)},
                          {"latency_us",
                           {{"p50", microseconds(latency.quantile(0.5))},
                            {"p99", microseconds(latency.quantile(0.99))},
                            {"p99.9", microseconds(latency.quantile(0.999))},
                            {"max", microseconds(latency.max())}}},
                          {"own_cpu_s", seconds(statistics.own_cpu)},
                          {"own_cpu_us_per_request", per_request_us(statistics.own_cpu, statistics.answered())}};
    if (statistics.backend_cpu) {
        report["tapdisk_cpu_s"] = seconds(*statistics.backend_cpu);
        report["tapdisk_cpu_us_per_request"] = per_request_us(*statistics.backend_cpu, statistics.answered());
    }
    return report;
}

}  // namespace blktap::replay
