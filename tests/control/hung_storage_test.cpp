// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// One disk's storage does not answer: the other disks, tapback itself, and the next tapback notice nothing of it, and
// when the storage answers again nothing is left of the wait.
#include <algorithm>
#include <csignal>
#include <fstream>

#include "tests/control/host/scene.hpp"
#include "tests/support/images/hanging_file_system.hpp"
#include "tests/support/images/held_memory.hpp"
#include "tests/support/process.hpp"

using namespace blktap;
using namespace blktap::control_test;
using namespace std::chrono_literals;
using blktap::testing::HangingFileSystem;
using Call = HangingFileSystem::Call;

namespace {

constexpr Nanoseconds promptly = 2s;

struct HungStorage {
    HungStorage() {
        scene.disk.target = "raw:" + storage.file();
        for (const Disk* disk : {&local, &another})
            scene.xl.create_domain(disk->domain);
        scene.attach(another);
    }

    /// Asks tapback to attach the disk, and does not wait for it.
    void begin_attach() {
        scene.xl.write_nodes(scene.disk);
        REQUIRE(scene.xl.wait_for_offers(scene.disk).error == "");
        attaching.emplace(ipc::MessageSocket::connect_to(scene.host.run_directory() + "/tapback.sock"));
        attaching->send_request(
            "attach", {{"backend", "backend/vbd3/5/51712"}, {"image", {{"format", "raw"}, {"path", storage.file()}}}});
    }
    void wait_until_it_hangs() {
        INFO("tapback said:\n" << scene.host.log());
        REQUIRE(testing::wait_until([&] { return storage.held() > 0; }));
    }
    template <class Work>
    void check_prompt(const char* what, Work work, Nanoseconds limit = promptly) {
        const MonotonicClock clock;
        const Nanoseconds began = clock.now();
        work();
        INFO(what << " took " << std::chrono::duration<double>(clock.now() - began).count() << " s");
        CHECK(clock.now() - began < limit);
    }
    void check_others_are_served() {
        check_prompt("attaching", [&] { scene.attach(local); });
        check_serves(scene.host, local);
        check_prompt("detaching", [&] { scene.detach(local); });
        check_prompt(
            "the list", [&] { CHECK(scene.host.call("list").error_message == ""); }, 200ms);
        CHECK_FALSE(has_open(scene.host.tapback_pid(), storage.file()));
    }
    /// What has to work while the storage does not answer.
    void check_all_but_this_disk() {
        wait_until_it_hangs();
        check_others_are_served();
        check_serves(scene.host, another);
        check_prompt("detaching one that was there", [&] { scene.detach(another); });
        check_prompt(
            "the end of tapback", [&] { CHECK(scene.host.stop_tapback() == 0); }, 5s);
        scene.host.start_tapback();
        check_others_are_served();
        CHECK(storage.held() > 0);
    }
    void check_all_is_as_before() {
        scene.attach(scene.disk);
        check_serves(scene.host, scene.disk);
        scene.detach(scene.disk);
    }

    /// The tapdisk that has the image open.
    pid_t tapdisk() const {
        const auto all = scene.host.tapdisks();
        const auto found = std::ranges::find_if(all, [&](pid_t pid) { return has_open(pid, storage.file()); });
        REQUIRE(found != all.end());
        return *found;
    }

    HangingFileSystem storage{image_size_bytes};
    Scene scene{Xl::v4_19};
    Disk local = scene.disk_of(6, xvda);
    Disk another = scene.disk_of(7, xvda);
    std::optional<ipc::Channel> attaching{};
};

/// An address that the process can read: the beginning of its program.
const void* readable_address(pid_t pid) {
    std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
    std::uintptr_t first = 0;
    maps >> std::hex >> first;
    return reinterpret_cast<const void*>(first);
}

}  // namespace

TEST_CASE(
    "hung storage: while a disk's image is looked at, opened or read, all others are attached and detached, and "
    "tapback is replaced",
    "[control][root]") {
    if (!HangingFileSystem::available()) {
        WARN("needs root and /dev/fuse: skipped");
        return;
    }
    HungStorage t;
    t.storage.hold(GENERATE(Call::look, Call::open, Call::read));
    t.begin_attach();
    t.check_all_but_this_disk();
    t.storage.let_go();
    t.scene.xl.detach_by_force(t.scene.disk);
    CHECK(testing::wait_until([&] { return t.scene.host.entry(5, xvda).is_null(); }));
    t.check_all_is_as_before();
}

TEST_CASE("hung storage: while a guest's flush hangs, all others are attached and detached, and tapback is replaced",
          "[control][root]") {
    if (!HangingFileSystem::available()) return;
    HungStorage t;
    t.scene.attach(t.scene.disk);
    Guest guest(t.scene.host, t.scene.disk, verified_load({"--requests", "500", "--flush-every", "5"}));
    REQUIRE(t.scene.xl.wait_until_connected(t.scene.disk));
    t.storage.hold(Call::sync);
    t.check_all_but_this_disk();
    t.storage.let_go();
    CHECK(guest.wait() == 0);
    t.scene.detach(t.scene.disk);
}

TEST_CASE("hung storage: while an image is closed, all others are attached and detached, and tapback is replaced",
          "[control][root]") {
    if (!HangingFileSystem::available()) return;
    HungStorage t;
    t.scene.attach(t.scene.disk);
    SECTION("by its tapdisk") {
        t.storage.hold(Call::close);
    }
    SECTION("by the process that keeps it locked") {
        t.storage.hold(Call::close, [processes = t.scene.host.storage_processes()](pid_t pid) {
            return std::ranges::count(processes, pid) != 0;
        });
    }
    t.scene.xl.ask_to_close(t.scene.disk, true);
    t.check_all_but_this_disk();
    t.storage.let_go();
    t.scene.xl.detach_by_force(t.scene.disk);
    CHECK(testing::wait_until([&] { return t.scene.host.entry(5, xvda).is_null(); }));
    t.check_all_is_as_before();
}

TEST_CASE("hung storage: a disk whose image is not opened in time is told so, and can be attached when it is",
          "[control][root]") {
    if (!HangingFileSystem::available()) return;
    HungStorage t;
    t.storage.hold(Call::open);
    const auto outcome = t.scene.xl.attach(t.scene.disk);
    CHECK_THAT(outcome.error, Catch::Contains(t.storage.file() + ": its storage does not answer"));
    t.scene.xl.detach_by_force(t.scene.disk);
    t.storage.let_go();
    CHECK(testing::wait_until([&] { return t.scene.host.entry(5, xvda).is_null(); }));
    t.check_all_is_as_before();
    t.scene.detach(t.another);
}

TEST_CASE("hung storage: a write of a killed tapdisk is waited for before another disk gets the image",
          "[control][root]") {
    if (!HangingFileSystem::available()) return;
    HungStorage t;
    t.scene.attach(t.scene.disk);
    Guest guest(t.scene.host, t.scene.disk, verified_load({"--seconds", "600"}));
    REQUIRE(t.scene.xl.wait_until_connected(t.scene.disk));
    const pid_t tapdisk = t.tapdisk();
    const testing::HeldMemory memory(tapdisk, readable_address(tapdisk));
    t.storage.hold(Call::write, [tapdisk](pid_t of) { return of == tapdisk; });
    t.wait_until_it_hangs();
    REQUIRE(testing::send_signal(tapdisk, SIGKILL));
    REQUIRE(testing::wait_until([&] { return std::ranges::count(t.scene.host.tapdisks(), tapdisk) == 0; }));
    guest.kill();
    t.scene.xl.remove_nodes(t.scene.disk);
    REQUIRE(testing::wait_until([&] { return t.scene.host.logged("waits for the last requests of the process") > 0; }));
    t.local.target = t.scene.disk.target;
    CHECK_THAT(t.scene.xl.attach(t.local).error, Catch::Contains("in use by the disk 5/51712"));
    t.scene.xl.detach_by_force(t.local);
    CHECK(t.storage.held() > 0);
    t.storage.let_go();
    CHECK(testing::wait_until([&] { return t.scene.host.entry(5, xvda).is_null(); }));
    t.scene.attach(t.local);
    check_serves(t.scene.host, t.local);
    t.scene.detach(t.local);
    t.scene.detach(t.another);
}
