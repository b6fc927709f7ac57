// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A guest that attacks the tapdisk that ships: for BLKTAP_ATTACK_SECONDS (10 unless set), with BLKTAP_SEED.
// tests/attack/run does it for hours. BLKTAP_ATTACKED names another tapdisk, with a planted fault.
#include <cstdio>
#include <cstdlib>

#include "tests/attack/conversation.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/places.hpp"

using namespace blktap;
using namespace blktap::attack;

namespace {

constexpr std::uint64_t conversations_of_a_victim = 40;

std::string variable(const char* name, const char* otherwise) {
    const char* const value = std::getenv(name);
    return value != nullptr ? value : otherwise;
}

/// One tapdisk, and its guests one after the other.
void visit(const fakexen::World& world, const VictimOptions& options, SeededRandom& random, Counts& counts,
           Nanoseconds until) {
    const MonotonicClock clock;
    Victim victim(world, options);
    HonestDisk disk(options.size_bytes / sector_size_bytes / 2);
    for (std::uint64_t i = 0; i < conversations_of_a_victim && clock.now() < until; ++i)
        Conversation(victim, disk, random, counts).run();
    victim.end();
}

}  // namespace

TEST_CASE("attack: a guest that attacks harms only itself", "[attack]") {
    const fakexen::World world;
    const fakexen::ActAs guest{5};
    SeededRandom random;
    Counts counts;
    const MonotonicClock clock;
    const Nanoseconds until = clock.now() + std::chrono::seconds(std::stoul(variable("BLKTAP_ATTACK_SECONDS", "10")));
    std::string found;
    const char* const formats[] = {"raw", "qcow2", "vhd"};
    for (std::size_t number = random.any<std::uint64_t>() % 3; clock.now() < until && found.empty(); ++number) {
        try {
            visit(world,
                  {.program = variable("BLKTAP_ATTACKED", BLKTAP_BIN_DIR "/tapdisk"), .format = formats[number % 3]},
                  random, counts, until);
        } catch (const Finding& finding) {
            found = std::string(formats[number % 3]) + ": " + finding.what();
        }
    }
    std::printf(
        "attack, BLKTAP_SEED=%llu: %llu conversations, %llu hostile requests, %llu fields rewritten meanwhile, "
        "%llu honest requests answered\n",
        static_cast<unsigned long long>(random.seed()), static_cast<unsigned long long>(counts.conversations),
        static_cast<unsigned long long>(counts.hostile), static_cast<unsigned long long>(counts.rewrites),
        static_cast<unsigned long long>(counts.honest));
    if (!found.empty()) std::printf("found: %s\n", found.c_str());
    CHECK(found.empty());
    CHECK(counts.honest > 0);
}
