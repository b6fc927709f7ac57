// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/ipc/problem_states.hpp"

#include "tests/support/catch.hpp"

using namespace blktap;
using namespace blktap::ipc;
using namespace std::chrono_literals;

namespace {

constexpr Nanoseconds quiet = 5s;
const Problem full{"no-space", 1, "no space on the host: writes wait"};
const Problem failing{"io-error", 2, "the storage fails: requests wait"};

struct Told {
    /// What see() and take() lead to, as "+name" and "-name".
    std::string after(const Problems& wrong, Nanoseconds now) {
        states.see(wrong, now);
        return at(now);
    }
    std::string at(Nanoseconds now) {
        std::string text;
        for (const auto& change : states.take(now))
            text += (change.begins ? "+" : "-") + change.problem.name;
        return text;
    }
    ProblemStates states{quiet};
};

}  // namespace

TEST_CASE("problem states: a beginning is told at once, an end when it has lasted", "[unit][ipc]") {
    Told t;
    CHECK(t.after({{full}}, 1h) == "+no-space");
    CHECK(t.states.told() == Problems{{full}});
    CHECK(t.after({{full, failing}}, 1h) == "+io-error");
    CHECK(t.states.next(1h) == std::nullopt);
    CHECK(t.after({}, 1h + 1s) == "");
    CHECK(t.states.next(1h + 1s) == 1h + 1s + quiet);
    CHECK(t.at(1h + 1s + quiet - 1ns) == "");
    CHECK(t.states.told().problems.size() == 2);
    CHECK(t.at(1h + 1s + quiet) == "-io-error-no-space");
    CHECK(t.states.told() == Problems{});
    CHECK(t.states.next(2h) == std::nullopt);
}

TEST_CASE("problem states: what comes back before its end was told was never away", "[unit][ipc]") {
    Told t;
    Nanoseconds now = 1h;
    CHECK(t.after({{full}}, now) == "+no-space");
    for (int i = 0; i < 1000; ++i) {
        CHECK(t.after({}, now += 100ms) == "");
        CHECK(t.after({{full}}, now += 100ms) == "");
    }
    CHECK(t.after({}, now) == "");
    CHECK(t.at(now + quiet) == "-no-space");
}

TEST_CASE("problem states: however often they change, few changes are told, and the last state in the end",
          "[unit][ipc]") {
    Told t;
    std::size_t told = 0;
    Nanoseconds now = 1h;
    // Each with another name: none is "the same".
    for (int i = 0; i < 60'000; ++i, now += 1ms) {
        t.states.see({{{"problem-" + std::to_string(i), 1, "x"}}}, now);
        told += t.states.take(now).size();
    }
    CHECK(told <= 2 * (ProblemStates::beginnings_burst + 60 / 10));
    t.states.see({{full}}, now);
    for (int i = 0; i < 10; ++i)
        t.states.take(now += 10s);
    CHECK(t.states.told() == Problems{{full}});
    CHECK(t.states.next(now) == std::nullopt);
}

TEST_CASE("problem states: a beginning that had to wait is told when it can be, if it still is one", "[unit][ipc]") {
    Told t;
    Problems many;
    for (int i = 0; i < ProblemStates::beginnings_burst; ++i)
        many.problems.push_back({"problem-" + std::to_string(i), 1, ""});
    t.after(many, 1h);
    many.problems.push_back(full);
    CHECK(t.after(many, 1h) == "");
    const auto next = t.states.next(1h);
    REQUIRE(next.has_value());
    CHECK(*next > 1h);
    CHECK(*next <= 1h + ProblemStates::beginnings_interval);
    CHECK(t.at(*next) == "+no-space");
}

TEST_CASE("problem states: more and longer than a disk can have is cut", "[unit][ipc]") {
    Told t;
    Problems many;
    for (int i = 0; i < 1000; ++i)
        many.problems.push_back({std::to_string(i) + std::string(5000, 'n'), 1, std::string(50'000, 't')});
    Nanoseconds now = 1h;
    t.states.see(many, now);
    for (int i = 0; i < 1000; ++i)
        t.states.take(now += 10s);
    CHECK(t.states.told().problems.size() == ProblemStates::problems_max);
    CHECK(t.states.next(now) == std::nullopt);
    for (const Problem& problem : t.states.told().problems) {
        CHECK(problem.name.size() <= ProblemStates::text_max_bytes);
        CHECK(problem.text.size() <= ProblemStates::text_max_bytes);
    }
}
