// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The attack can fail: a tapdisk in which one check is missing (plant) is found out, for what it does.
#include <chrono>
#include <iostream>

#include "libblktap/base/clock.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/places.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace blktap;
using namespace blktap::testing;

TEST_CASE("attack: a tapdisk that lacks a check is found out", "[attack][planted]") {
    const std::string fault = GENERATE("range-unchecked", "segment-count-unchecked", "answered-twice");
    const TemporaryDirectory directory;
    const MonotonicClock clock;
    const Nanoseconds began = clock.now();
    const int status =
        run({BLKTAP_TESTS_DIR "/attack_test"},
            {.environment = {"BLKTAP_ATTACKED=" BLKTAP_TESTS_DIR "/attacked-" + fault, "BLKTAP_ATTACK_SECONDS=150"},
             .output = directory.path("said")},
            std::chrono::minutes(4));
    const std::string said = read_file(directory.path("said"));
    INFO(said);
    CHECK(status != 0);
    const std::size_t found = said.find("found: ");
    REQUIRE(found != std::string::npos);
    std::cout << fault << " after " << std::chrono::duration<double>(clock.now() - began).count() << " s, "
              << said.substr(found, said.find('\n', found) - found) << '\n';
}
