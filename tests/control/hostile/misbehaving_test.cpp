// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// One tapdisk that misbehaves among others, as one would that its guest has taken over.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iomanip>
#include <iostream>
#include <sstream>

#include "tests/control/host/scene.hpp"

using namespace blktap;
using namespace blktap::control_test;
using namespace std::chrono_literals;

namespace {

/// A neighbour's view: times of a few attaches and detaches of a disk, of lists, and of a verified load on another
/// disk.
struct Figures {
    Nanoseconds attach{0};
    Nanoseconds list{0};
    Nanoseconds load{0};
    std::size_t log_lines = 0;
};

Nanoseconds median(std::vector<Nanoseconds> times) {
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    return *middle;
}

std::string text(const Figures& figures) {
    std::ostringstream out;
    const auto put = [&out](const char* name, Nanoseconds time) {
        out << name << ' ' << std::chrono::duration<double, std::milli>(time).count() << " ms ";
    };
    out << std::setprecision(3);
    put("attach", figures.attach);
    put("list", figures.list);
    put("load", figures.load);
    out << figures.log_lines << " lines of log";
    return out.str();
}

struct Neighbourhood : Scene {
    Neighbourhood() : Scene(Xl::v4_19) {}

    /// From now on the second disk's tapdisk misbehaves in this way.
    void let_second_misbehave(const std::string& mode) {
        const std::string program = host.path("choose-tapdisk");
        std::ofstream(program) << "#!/bin/sh\ncase \"$*\" in\n*/5-51728.sock*) exec " BLKTAP_TESTS_DIR
                                  "/stand_in_tapdisk "
                               << mode << " \"$@\";;\n*) exec " BLKTAP_BIN_DIR "/tapdisk \"$@\";;\nesac\n";
        std::filesystem::permissions(program, std::filesystem::perms::owner_all);
        host.use_tapdisk(program);
        host.replace_tapback();
    }
    Nanoseconds time_of(const std::function<void()>& what) const {
        const Nanoseconds began = clock.now();
        what();
        return clock.now() - began;
    }
    Figures measure() {
        std::vector<Nanoseconds> attaches;
        std::vector<Nanoseconds> lists;
        std::vector<Nanoseconds> loads;
        const std::size_t lines = host.logged("");
        for (int i = 0; i < 7; ++i) {
            attaches.push_back(time_of([&] { attach(third); }));
            lists.push_back(time_of([&] { CHECK(host.call("list").error_message == ""); }));
            loads.push_back(time_of([&] { check_serves(host, disk); }));
            detach(third);
        }
        return {median(attaches), median(lists), median(loads), host.logged("") - lines};
    }
    /// That the others' times are as before, but for what a second processor's work costs on a small machine.
    void check_as_before(const Figures& before, const Figures& now) const {
        std::cout << "neighbours of a tapdisk that attacks: " << text(now) << "; without: " << text(before) << '\n';
        CHECK(now.attach < 3 * before.attach + 100ms);
        CHECK(now.list < 3 * before.list + 100ms);
        CHECK(now.load < 3 * before.load + 500ms);
        CHECK(now.log_lines < before.log_lines + 200);
    }
    std::string problem() const { return host.entry(5, xvdb).value("problem", ""); }
    bool is_held() const { return host.entry(5, xvdb).value("state", "") == "held"; }

    const MonotonicClock clock{};
    Disk second = disk_of(5, xvdb);
    Disk third = disk_of(5, xvdb + 16);
};

}  // namespace

TEST_CASE("misbehaving: a tapdisk that floods its connection is killed, and takes no time and no log from the others",
          "[control]") {
    Neighbourhood n;
    n.host.configure("problem-hook = /bin/true\n");
    n.attach(n.disk);
    const Figures before = n.measure();
    n.let_second_misbehave(GENERATE("problems", "replies", "requests"));
    n.attach(n.second);
    const Figures during = n.measure();
    n.check_as_before(before, during);
    // Each of its successors does the same.
    CHECK(testing::wait_until([&] { return n.is_held(); }));
    CHECK_THAT(n.problem(), Catch::Contains("says too much") || Catch::Contains("does not read the answers"));
    CHECK(n.host.logged("vbd.problem") < 40);
    n.detach(n.second);
    n.detach(n.disk);
}

TEST_CASE("misbehaving: a tapdisk that lies harms no other disk, and is killed with its disk", "[control]") {
    Neighbourhood n;
    n.attach(n.disk);
    const Figures before = n.measure();
    n.let_second_misbehave("lies");
    static_cast<void>(n.xl.attach(n.second));
    const Figures during = n.measure();
    n.check_as_before(before, during);
    const Nanoseconds began = n.clock.now();
    n.xl.detach_by_force(n.second);
    CHECK(testing::wait_until([&] { return n.host.entry(5, xvdb).is_null(); }, 120s));
    CHECK(n.clock.now() - began < 110s);
    n.detach(n.disk);
}

TEST_CASE("misbehaving: a tapdisk that sends descriptors or bytes that are no message is killed", "[control]") {
    Neighbourhood n;
    n.attach(n.disk);
    n.let_second_misbehave(GENERATE("descriptors", "garbage", "huge"));
    const auto outcome = n.xl.attach(n.second);
    CHECK_THAT(outcome.error, Catch::Contains("sends what is no message"));
    check_serves(n.host, n.disk);
    CHECK(n.host.logged("") < 400);
    n.xl.detach_by_force(n.second);
    n.detach(n.disk);
}

TEST_CASE("misbehaving: a tapdisk that asks for a hundred files gets its image, and nothing else", "[control]") {
    Neighbourhood n;
    n.attach(n.disk);
    const std::string other = n.disk.target.substr(4);
    const std::string own = n.second.target.substr(4);
    const std::string got = n.host.path("got");
    const std::string link = n.host.path("link");
    std::filesystem::create_symlink("/etc/shadow", link);
    n.host.set_tapback_environment(
        {"BLKTAP_WANTED=/etc/shadow:" + other + ":" + own + "/../" + other.substr(other.rfind('/') + 1) + ":" + link +
             ":/dev/mem:/dev/xen/privcmd:image-5-51728:/proc/self/mem:/:" + n.host.run_directory() + "/tapback.sock",
         "BLKTAP_GOT=" + got});
    n.let_second_misbehave("files");
    n.attach(n.second);
    std::istringstream lines(testing::read_file(got));
    std::size_t own_files = 0;
    bool asked = false;
    for (std::string line; std::getline(lines, line);) {
        if (line == "asked")
            asked = true;
        else if (line == own)
            ++own_files;
        else
            CHECK(line == "nothing else");
    }
    CHECK(asked);
    CHECK(own_files >= 1);
    check_serves(n.host, n.disk);
    n.detach(n.second);
    n.detach(n.disk);
}
