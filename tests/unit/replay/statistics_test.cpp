// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/replay/load/statistics.hpp"

#include "tests/support/catch.hpp"

using namespace blktap;
using namespace blktap::replay;
using namespace std::chrono_literals;

namespace {

Statistics some() {
    Statistics statistics;
    statistics.count(0, ring::Status::okay, 4096, 100us);
    statistics.count(1, ring::Status::okay, 4096, 100us);
    statistics.count(2, ring::Status::error, 4096, 100us);
    statistics.count(3, ring::Status::okay, 0, 100us);
    statistics.count(5, ring::Status::not_supported, 0, 100us);
    statistics.count(9, ring::Status::not_supported, 0, 100us);
    statistics.elapsed = 2s;
    statistics.own_cpu = 6us;
    return statistics;
}

}  // namespace

TEST_CASE("statistics: answers are counted by operation and status, bytes only when okay", "[unit][replay]") {
    const Statistics statistics = some();
    CHECK(statistics.answered() == 6);
    CHECK(statistics.reads == 1);
    CHECK(statistics.writes == 2);
    CHECK(statistics.flushes == 1);
    CHECK(statistics.discards == 1);
    CHECK(statistics.others == 1);
    CHECK(statistics.errors == 1);
    CHECK(statistics.unsupported == 2);
    CHECK(statistics.bytes == 8192);
}

TEST_CASE("statistics: the report has rates and CPU time per request", "[unit][replay]") {
    Statistics statistics = some();
    auto report = to_json_report(statistics);
    CHECK(report["iops"] == 3.0);
    CHECK(report["bytes_per_s"] == 4096.0);
    CHECK(report["own_cpu_us_per_request"] == 1.0);
    CHECK(!report.contains("tapdisk_cpu_s"));
    statistics.backend_cpu = 12us;
    report = to_json_report(statistics);
    CHECK(report["tapdisk_cpu_us_per_request"] == 2.0);
    CHECK(format_table(statistics).find("3 IOPS") != std::string::npos);
}

TEST_CASE("statistics: nothing done in no time is a report, too", "[unit][replay]") {
    const auto report = to_json_report({});
    CHECK(report["iops"] == 0.0);
    CHECK(report["own_cpu_us_per_request"] == 0.0);
}
