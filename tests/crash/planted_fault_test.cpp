// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The tests of deaths can fail: each fault that is planted in the mortal tapdisk is found by them, for what it does.
#include <algorithm>
#include <string>
#include <vector>

#include "tests/crash/mortal/death.hpp"
#include "tests/crash/mortal/file_keeper.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/places.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace blktap;
using namespace blktap::testing;

namespace {

struct Run {
    int status;
    std::string output;

    Run(const std::vector<std::string>& command, const std::vector<std::string>& environment) {
        const TemporaryDirectory directory;
        const std::string said = directory.path("said");
        status = run(command, {.environment = environment, .output = said}, std::chrono::minutes(4));
        output = read_file(said);
    }
    bool says(const std::string& text) const { return output.find(text) != std::string::npos; }
};

Run run_suite(const std::string& fault, const std::string& program = "recovery_kill_test") {
    std::vector<std::string> environment{"BLKTAP_RECOVERY_KILLS=200", "BLKTAP_THROTTLED_KILLS=120"};
    if (!fault.empty()) environment.push_back(std::string(mortal::fault_variable) + '=' + fault);
    return {{std::string(BLKTAP_TESTS_DIR "/") + program, "[crash]", "~*ships*"}, environment};
}

}  // namespace

TEST_CASE("planted faults: without one, the tests of deaths find nothing", "[crash]") {
    const Run suite = run_suite("");
    INFO(suite.output);
    CHECK(suite.status == 0);
}

TEST_CASE("planted faults: each is found by the tests of deaths", "[crash]") {
    std::size_t tried = 0;
    const auto finds = [&tried](const std::string& fault, const std::vector<std::string>& texts) {
        REQUIRE(std::ranges::any_of(mortal::faults, [&](const char* each) { return fault == each; }));
        ++tried;
        const Run suite = run_suite(fault);
        INFO(fault << '\n' << suite.output);
        CHECK(suite.status != 0);
        CHECK(std::ranges::any_of(texts, [&](const std::string& text) { return suite.says(text); }));
    };
    // Requests that were answered are not forgotten, so the ring does not agree with its log, and stands still.
    finds("record-not-settled", {"no answer for"});
    // A barrier counts the requests before it by their sequence: with a wrong one it may wait for ever.
    finds("sequence-ignored", {"no answer for", "of a write, a barrier and a write was answered after", ": lost: "});
    finds("ring-scanned-first", {"no answer for", "of a write, a barrier and a write was answered after", ": lost: "});
    finds("failed-forgotten", {"CHECK_FALSE( t.answered(failed) )"});
    CHECK(tried == mortal::faults.size());
}

TEST_CASE("planted faults: a file that is given before the I/O of a dead tapdisk is over is found", "[crash]") {
    const Run suite = run_suite(careless_fault, "throttled_kill_test");
    INFO(suite.output);
    if (suite.says("SKIPPED: ")) {
        WARN("SKIPPED: storage cannot be made slow here");
        return;
    }
    CHECK(suite.status != 0);
    // Whatever the late write meets: data of the guest, or a table of the image.
    const auto wrong = {": lost: ", ": torn: ", ": misplaced: ", ": foreign: "};
    CHECK(std::ranges::any_of(wrong, [&](const char* text) { return suite.says(text); }));
}

// tests/soak/README.md tells how long it takes to find the others.
TEST_CASE("planted faults: a soak finds two of them within a minute", "[crash]") {
    for (const std::string fault : {"sequence-ignored", "ring-scanned-first"}) {
        const Run soak({BLKTAP_TESTS_DIR "/soak_test"},
                       {"BLKTAP_SOAK_PLANTED=" + fault, "BLKTAP_SOAK_ACTIONS=kill-any-tapdisk", "BLKTAP_SEED=1",
                        "BLKTAP_SOAK_SECONDS=50", "BLKTAP_SOAK_LOG=" BLKTAP_TESTS_DIR "/planted-soak.log"});
        INFO(fault << ": no finding within 50 s, or another one:\n" << soak.output);
        CHECK(soak.status != 0);
        CHECK(soak.says("FINDING"));
        CHECK(soak.says("of a write, a barrier and a write was answered after"));
    }
}
