// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/replay/load/histogram.hpp"

#include "tests/support/catch.hpp"

using namespace blktap;
using namespace blktap::replay;
using namespace std::chrono_literals;

TEST_CASE("histogram: an empty one has quantiles of zero", "[unit][replay]") {
    const Histogram histogram;
    CHECK(histogram.quantile(0.5) == 0ns);
    CHECK(histogram.max() == 0ns);
}

TEST_CASE("histogram: small values are exact", "[unit][replay]") {
    Histogram histogram;
    for (int value = 1; value <= 32; ++value)
        histogram.add(Nanoseconds(value));
    CHECK(histogram.quantile(0.5) == 16ns);
    CHECK(histogram.quantile(1.0) == 32ns);
    CHECK(histogram.count() == 32);
}

TEST_CASE("histogram: a quantile is never below the value, and at most 4 % above it", "[unit][replay]") {
    for (std::int64_t value = 1; value < 400'000'000'000'000'000; value = value * 17 / 16 + 1) {
        Histogram histogram;
        histogram.add(Nanoseconds(value));
        histogram.add(Nanoseconds::max());
        const auto found = histogram.quantile(0.5).count();
        CAPTURE(value);
        REQUIRE(found >= value);
        REQUIRE(static_cast<double>(found) <= static_cast<double>(value) * 1.04);
    }
}

TEST_CASE("histogram: one slow request in a thousand shows at p99.9 only when there are more", "[unit][replay]") {
    Histogram histogram;
    for (int i = 0; i < 999; ++i)
        histogram.add(1us);
    histogram.add(1s);
    CHECK(histogram.quantile(0.999) < 2us);
    CHECK(histogram.max() == 1s);
    histogram.add(1s);
    CHECK(histogram.quantile(0.999) == 1s);
}

TEST_CASE("histogram: the largest value has a bucket", "[unit][replay]") {
    Histogram histogram;
    histogram.add(Nanoseconds::max());
    histogram.add(Nanoseconds(-1));
    CHECK(histogram.quantile(1.0) == Nanoseconds::max());
    CHECK(histogram.quantile(0.5) == 0ns);
}
