// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vbd/own_disk.hpp"

#include <filesystem>
#include <sys/socket.h>

#include "libblktap/ipc/channel.hpp"
#include "tests/support/thrown.hpp"
#include "tests/unit/tapback/vbd/disk_host.hpp"

using namespace blktap;
using namespace blktap::tapback;
using Catch::Contains;

namespace {

/// A disk that this domain has itself, and the process that looks who uses it, played by the test.
struct OwnDiskHost : StoreHost {
    OwnDiskHost() { store().write("domid", "5"); }

    /// The answer of the process, after which the loop has its turn.
    void answer(const std::string& use) {
        const auto asked = process->next_request();
        REQUIRE(asked.has_value());
        process->reply(asked->id, {{"use", use}});
        loop.run_once(Nanoseconds{0});
    }
    void check_use(const std::function<void()>& go_on) {
        disk.check_use("detach", go_on, [this](const ipc::Reply& reply) {
            told = ipc::error_code_named(reply.error_code);
            text = reply.error_message;
        });
    }
    ipc::MessageSocket start_process() {
        int ends[2] = {-1, -1};
        REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
        process.emplace(ipc::MessageSocket{UniqueFd{ends[0]}});
        return ipc::MessageSocket{UniqueFd{ends[1]}};
    }

    std::optional<ipc::Channel> process{};
    ImageFiles its_files{loop, {{"/"}, {}}, [this] { return start_process(); }};
    OwnDisk disk{{loop, store_session, its_files, {.sysfs = files_directory.path("sys")}}, address};
    int went_on = 0;
    std::error_code told{};
    std::string text{};
};

}  // namespace

TEST_CASE("own disk: a disk is this domain's own when its guest is this domain", "[unit][tapback]") {
    OwnDiskHost t;
    CHECK(t.disk.is_own());
    t.store().write("domid", "0");
    CHECK_FALSE(t.disk.is_own());
    t.store().remove("domid");
    CHECK_FALSE(t.disk.is_own());
}

TEST_CASE("own disk: the kernel is waited for while it has a device whose nodes are gone", "[unit][tapback]") {
    OwnDiskHost t;
    std::filesystem::create_directories(t.files_directory.path("sys/devices/vbd-51712"));
    CHECK_FALSE(t.disk.is_left_to_kernel());  // the nodes are there
    t.store().remove(t.frontend);
    CHECK(t.disk.is_left_to_kernel());
    t.store().write("domid", "0");
    CHECK_FALSE(t.disk.is_left_to_kernel());
    t.store().write("domid", "5");
    std::filesystem::remove_all(t.files_directory.path("sys/devices/vbd-51712"));
    CHECK_FALSE(t.disk.is_left_to_kernel());
}

TEST_CASE("own disk: what is not used may go, what is used stays, and both are answered once", "[unit][tapback]") {
    OwnDiskHost t;
    t.check_use([&] { ++t.went_on; });
    CHECK(testing::thrown([&] { t.check_use([] {}); }).code() == Errc::wrong_state);
    t.answer("");
    CHECK(t.went_on == 1);
    CHECK(t.text.empty());
    t.check_use([&] { ++t.went_on; });
    t.answer("in use: mounted on /mnt");
    CHECK(t.went_on == 1);
    CHECK(t.told == std::errc::device_or_resource_busy);
    CHECK(t.text == "5/51712 (xvda): in use: mounted on /mnt");
}

TEST_CASE("own disk: an answer that does not come is an error, and what fails after it, too", "[unit][tapback]") {
    OwnDiskHost t;
    t.check_use([&] { ++t.went_on; });
    t.turn(UseCheck::patience);
    CHECK(t.went_on == 0);
    CHECK(t.told == std::errc::timed_out);
    CHECK_THAT(t.text, Contains("whether it is in use does not become known"));
    t.check_use([] { throw_error(Errc::wrong_state, "another moment"); });
    t.answer("");
    CHECK(t.told == Errc::wrong_state);
}
