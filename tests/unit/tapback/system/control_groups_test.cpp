// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Control groups in a directory that has the files of one: what is written to them is what a kernel would get.
#include "control/tapback/system/control_groups.hpp"

#include <filesystem>
#include <unistd.h>

#include "libblktap/base/small_file.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/unit/base/captured_stderr.hpp"

using namespace blktap;
using namespace blktap::tapback;
using Catch::Contains;

namespace {

const char* const socket_path = "/run/tapdisk/5-51712.sock";

struct Host {
    /// Makes files in a group, which a kernel would make.
    void make_files(const std::string& group, const std::vector<std::string>& names) const {
        std::filesystem::create_directories(top + group);
        for (const std::string& name : names)
            write_small_file(top + group + '/' + name, "", 0600);
    }
    std::string contents(const std::string& name) const { return read_small_file(top + name).value_or("(absent)"); }

    testing::TemporaryDirectory directory{};
    std::string top = directory.path("tapdisks.service");
};

}  // namespace

TEST_CASE("control groups: a tapdisk's has bounds for memory and processes, and a weight", "[unit][tapback]") {
    const Host host;
    host.make_files("", {"cgroup.subtree_control"});
    const ControlGroups groups(host.top, 1 << 20);
    CHECK_THAT(host.contents("/cgroup.subtree_control"), Contains("+cpu"));
    host.make_files("/tapdisk-5-51712", {"memory.max", "pids.max", "cpu.weight", "cgroup.procs"});
    const UniqueFd entrance = groups.make(socket_path);
    REQUIRE(entrance);
    CHECK(host.contents("/tapdisk-5-51712/memory.max") == std::to_string((1 << 20) + (1 << 30)));
    CHECK(host.contents("/tapdisk-5-51712/pids.max") == "32");
    CHECK(host.contents("/tapdisk-5-51712/cpu.weight") == "100");
    REQUIRE(::write(entrance.get(), "0", 1) == 1);
    CHECK(host.contents("/tapdisk-5-51712/cgroup.procs") == "0");
}

TEST_CASE("control groups: one that ended leaves none, nor does one that ended while tapback was away",
          "[unit][tapback]") {
    const Host host;
    host.make_files("", {"cgroup.subtree_control"});
    const ControlGroups groups(host.top, 0);
    const std::string group = host.top + "/tapdisk-5-51712";
    // On another file system the directory is made, and has no files.
    CHECK_FALSE(groups.make(socket_path));
    CHECK(std::filesystem::is_directory(group));
    groups.remove(socket_path);
    CHECK_FALSE(std::filesystem::exists(group));

    std::filesystem::create_directory(group);
    std::filesystem::create_directory(host.top + "/somebody-else");
    host.make_files("/tapdisk-5-51728", {"in-use"});  // rmdir() fails, as for a group with a process
    const ControlGroups next(host.top, 0);
    CHECK_FALSE(std::filesystem::exists(group));
    CHECK(std::filesystem::exists(host.top + "/tapdisk-5-51728"));
    CHECK(std::filesystem::exists(host.top + "/somebody-else"));
}

TEST_CASE("control groups: a host without them is told once, and everything goes on", "[unit][tapback]") {
    const Host host;
    const testing::CapturedStderr captured;
    const ControlGroups groups(host.top, 0);
    for (int i = 0; i < 3; ++i)
        CHECK_FALSE(groups.make(socket_path));
    groups.remove(socket_path);
    CHECK_FALSE(std::filesystem::exists(host.top));
    const std::string log = captured.text();
    CHECK_THAT(log, Contains("control_groups directory=" + host.top) && Contains("without bounds of their own"));
    CHECK(log.find("control_group", log.find("control_groups") + 14) == std::string::npos);
}

TEST_CASE("control groups: a controller that the host keeps for itself is named, the others are used",
          "[unit][tapback]") {
    const Host host;
    std::filesystem::create_directories(host.top + "/cgroup.subtree_control");  // cannot be written
    host.make_files("/tapdisk-5-51712", {"pids.max", "cgroup.procs"});
    const testing::CapturedStderr captured;
    const ControlGroups groups(host.top, 1 << 20);
    CHECK_THAT(captured.text(), Contains("missing=\"memory, pids, cpu\""));
    CHECK(groups.make(socket_path));
    CHECK(host.contents("/tapdisk-5-51712/pids.max") == "32");
}

TEST_CASE("control groups: an image with a larger budget has more room, and no image less", "[unit][tapback]") {
    const Host host;
    host.make_files("", {"cgroup.subtree_control"});
    host.make_files("/tapdisk-5-51712", {"memory.max", "cgroup.procs"});
    const ControlGroups groups(host.top, 2 << 20);
    REQUIRE(groups.make(socket_path));
    const auto room = [&] { return host.contents("/tapdisk-5-51712/memory.max"); };
    CHECK(room() == std::to_string((2 << 20) + (1 << 30)));
    groups.make_room(socket_path, 1 << 20);
    CHECK(room() == std::to_string((2 << 20) + (1 << 30)));
    groups.make_room(socket_path, std::uint64_t{5} << 30);
    CHECK(room() == std::to_string(std::uint64_t{6} << 30));
}
