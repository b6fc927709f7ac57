// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// One tapdisk that misbehaves among others, as one would that its guest has taken over.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tests/control/host/scene.hpp"

using namespace blktap;
using namespace blktap::control_test;
using namespace std::chrono_literals;

namespace {

/// From now on the second disk's tapdisk misbehaves in this way.
void let_second_misbehave(Scene& scene, const std::string& mode) {
    const std::string program = scene.host.path("choose-tapdisk");
    std::ofstream(program) << "#!/bin/sh\ncase \"$*\" in\n*/5-51728.sock*) exec " BLKTAP_TESTS_DIR "/stand_in_tapdisk "
                           << mode << " \"$@\";;\n*) exec " BLKTAP_BIN_DIR "/tapdisk \"$@\";;\nesac\n";
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
    scene.host.use_tapdisk(program);
    scene.host.replace_tapback();
}

}  // namespace

TEST_CASE("misbehaving: a tapdisk that floods its connection takes no time and no log from the others", "[control]") {
    Scene scene(Xl::v4_19);
    scene.host.configure("problem-hook = /bin/true\n");
    let_second_misbehave(scene, GENERATE("problems", "replies", "requests"));
    scene.attach(scene.disk);
    const Disk second = scene.disk_of(5, xvdb);
    scene.attach(second);
    const MonotonicClock clock;
    const Nanoseconds end = clock.now() + 3s;
    Nanoseconds longest{0};
    while (clock.now() < end) {
        const Nanoseconds began = clock.now();
        CHECK(scene.host.call("list").error_message == "");
        longest = std::max(longest, clock.now() - began);
    }
    CHECK(longest < 1s);
    const auto problem = [&] { return scene.host.entry(5, xvdb).value("problem", ""); };
    CHECK(testing::wait_until([&] { return problem().find("cannot be asked") != std::string::npos; }));
    CHECK_THAT(problem(), Catch::Contains("says too much") || Catch::Contains("does not read the answers"));
    CHECK(scene.host.logged("vbd.problem") < 40);
    CHECK(scene.host.logged("") < 400);
    check_serves(scene.host, scene.disk);
    scene.detach(second);
    scene.detach(scene.disk);
}
