// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/system/own_device.hpp"

#include <fstream>
#include <sys/socket.h>

#include "control/tapback/storage/process_starter.hpp"
#include "control/tapback/vbd/use_check.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/places.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace blktap;
using namespace blktap::tapback;

namespace {

/// A host with the disk xvda of two partitions, which nobody uses.
struct Machine {
    testing::TemporaryDirectory directory{};
    DevicePlaces places{directory.path("sys"), directory.path("mounts"), directory.path("swaps"),
                        directory.path("dev")};

    Machine() {
        write("sys/devices/vbd-51712/block/xvda/dev", "202:0\n");
        write("sys/devices/vbd-51712/block/xvda/queue/nr_requests", "64\n");
        for (const std::string number : {"1", "2"}) {
            const std::string part = "sys/devices/vbd-51712/block/xvda/xvda" + number;
            write(part + "/dev", "202:" + number + '\n');
            write(part + "/partition", number + '\n');
            std::filesystem::create_directories(directory.path(part + "/holders"));
        }
        write("mounts",
              "22 28 0:21 / /proc rw,relatime shared:12 - proc proc rw\n"
              "28 1 254:1 / / rw shared:1 - ext4 /dev/vda1 rw\n");
        write("swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/vda2 partition\t9\t0\t-2\n");
    }
    void write(const std::string& name, const std::string& text) const {
        const std::filesystem::path path = directory.path(name);
        std::filesystem::create_directories(path.parent_path());
        std::ofstream(path, std::ios::app) << text;
    }
    std::string use(std::uint32_t device = 51712) const { return OwnDevice(places, device).use(); }
};

}  // namespace

TEST_CASE("own device: a disk that nobody uses, and one that is not there", "[unit]") {
    const Machine it;
    CHECK(it.use().empty());
    CHECK(it.use(51728).empty());
    CHECK(OwnDevice(it.places, 51712).present());
    CHECK_FALSE(OwnDevice(it.places, 51728).present());
}

TEST_CASE("own device: who uses a disk is told by name", "[unit]") {
    const Machine it;
    std::string wanted;
    SECTION("mounted") {
        it.write("mounts", "90 28 202:0 / /mnt/d0 rw,relatime shared:7 master:1 - ext4 /dev/xvda rw\n");
        wanted = "in use: mounted on /mnt/d0";
    }
    SECTION("a partition is mounted, on a path with a blank") {
        it.write("mounts", "90 28 202:2 / /mnt/my\\040disk rw - ext4 /dev/root rw\n");
        wanted = "in use: mounted on /mnt/my disk";
    }
    SECTION("mounted by a file system that has numbers of its own") {
        it.write("mounts", "90 28 0:45 /@ /srv rw shared:9 - btrfs /dev/xvda1 rw\n");
        wanted = "in use: mounted on /srv";
    }
    SECTION("swap") {
        it.write("swaps", "/dev/xvda1                              partition\t9\t0\t-2\n");
        wanted = "in use: /dev/xvda1 is swap space";
    }
    SECTION("a volume group") {
        std::filesystem::create_directories(it.directory.path("sys/devices/vbd-51712/block/xvda/xvda2/holders/dm-3"));
        wanted = "in use: by the device dm-3";
    }
    CHECK(it.use() == wanted);
}

TEST_CASE("own device: another disk's mount, swap and name are not this one's", "[unit]") {
    const Machine it;
    it.write("mounts", "90 28 202:16 / /mnt rw - ext4 /dev/xvdb rw\n91 28 202:10 / /mnt rw - ext4 /dev/xvda10 rw\n");
    it.write("swaps", "/dev/xvda10 partition\t9\t0\t-2\n");
    it.write("dev/xvda", "a file");
    CHECK(it.use().empty());
}

TEST_CASE("own device: the answer comes through the loop", "[unit]") {
    const Machine it;
    it.write("mounts", "90 28 202:0 / /mnt/d0 rw - ext4 /dev/xvda rw\n");
    const MonotonicClock clock;
    EventLoop loop(clock);
    std::optional<std::string> use;
    storage::ProcessStarter starter(loop, {.program = BLKTAP_BIN_DIR "/tapback"});
    UseCheck check(loop, starter.start(), it.places, 51712, [&](const auto& told) { use = told; });
    CHECK(check.running());
    while (check.running())
        loop.run_once(std::chrono::seconds(20));
    CHECK(use == "in use: mounted on /mnt/d0");
}

TEST_CASE("own device: an answer that does not come in time is none, and one that comes later is not heard", "[unit]") {
    const Machine it;
    ManualClock clock;
    clock.advance(std::chrono::hours(1));
    EventLoop loop(clock);
    int ends[2] = {-1, -1};
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    ipc::Channel process(ipc::MessageSocket{UniqueFd{ends[0]}});
    int calls = 0;
    std::optional<std::string> use = "not called";
    UseCheck check(loop, ipc::MessageSocket{UniqueFd{ends[1]}}, it.places, 51712, [&](const auto& told) {
        ++calls;
        use = told;
    });
    const auto asked = process.next_request();
    REQUIRE(asked.has_value());
    clock.advance(UseCheck::patience);
    loop.run_once(std::chrono::milliseconds(0));
    CHECK_FALSE(check.running());
    CHECK(use == std::nullopt);
    process.reply(asked->id, {{"use", "in use"}});
    loop.run_once(std::chrono::milliseconds(0));
    CHECK(calls == 1);
}
