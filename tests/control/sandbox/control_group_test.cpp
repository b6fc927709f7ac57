// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Control groups of the kernel that runs this, below the group of the test: without controllers if none are delegated.
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/control/host/scene.hpp"

using namespace blktap;
using namespace blktap::control_test;

namespace {

std::string first_with(const std::string& file, const std::string& part) {
    std::ifstream lines(file);
    for (std::string line; std::getline(lines, line);)
        if (line.find(part) != std::string::npos) return line;
    return {};
}

/// The place of this process in the hierarchy of version 2; "0::/the/path".
std::string own_group(const std::string& process = "self") {
    const std::string line = first_with("/proc/" + process + "/cgroup", "0::");
    return line.empty() ? "" : line.substr(3);
}

/// A group of the test's own, for what tapback makes.
struct Top {
    Top() {
        std::string mount = first_with("/proc/self/mounts", " cgroup2 ");
        if (mount.empty()) return;
        mount.erase(0, mount.find(' ') + 1);
        mount.erase(mount.find(' '));
        const std::string own = own_group() == "/" ? "" : own_group();
        name = own + "/tapdisk-test-" + std::to_string(::getpid());
        path = mount + name;
        exists = ::mkdir(path.c_str(), 0755) == 0;
    }
    Top(const Top&) = delete;
    Top& operator=(const Top&) = delete;
    ~Top() {
        if (exists) ::rmdir(path.c_str());
    }
    std::size_t group_count() const {
        std::size_t count = 0;
        for (const auto& entry : std::filesystem::directory_iterator(path))
            count += entry.is_directory() ? 1 : 0;
        return count;
    }

    std::string name, path;
    bool exists = false;
};

}  // namespace

TEST_CASE("control group: a tapdisk is in one of its own, also after tapback was replaced, and leaves none",
          "[control]") {
    const Top top;
    if (!top.exists || ::geteuid() != 0) return;  // not delegated to who runs the test
    {
        Scene scene(Xl::v4_19);
        scene.host.configure("control-group = " + top.path + "\n");
        scene.host.replace_tapback();
        scene.attach(scene.disk);
        const Disk other = scene.disk_of(5, xvdb);
        scene.attach(other);
        const auto group_of = [&](const Disk& disk) {
            return own_group(std::to_string(scene.host.entry(disk.domain, disk.device).value("pid", 0)));
        };
        CHECK(group_of(scene.disk) == top.name + "/tapdisk-5-51712");
        CHECK(group_of(other) == top.name + "/tapdisk-5-51728");
        CHECK(scene.host.call("about", {{"domain", 5}, {"device", xvda}}).result.value("sandbox", "") == "on");
        CHECK(top.group_count() == 2);
        scene.host.replace_tapback();
        CHECK(group_of(scene.disk) == top.name + "/tapdisk-5-51712");
        scene.detach(other);
        CHECK(testing::wait_until([&] { return top.group_count() == 1; }));
        scene.detach(scene.disk);
        CHECK(testing::wait_until([&] { return top.group_count() == 0; }));
    }
}
