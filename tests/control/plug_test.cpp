// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Disks without a toolstack: tapback writes both ends, and removes them.
#include <csignal>

#include "tests/control/host/scene.hpp"
#include "tests/control/host/store_relay.hpp"
#include "tests/support/process.hpp"

using namespace blktap;
using namespace blktap::control_test;
using namespace std::chrono_literals;

namespace {

struct Plugged {
    ControlHost host{};
    Toolstack xl{host, Xl::v4_19};
    Disk disk{};
    ipc::Json vbd{{"domain", 5}, {"device", xvda}};

    Plugged() {
        xl.create_domain(5);
        CHECK(plug(host.make_image("image", image_size_bytes)).error_message == "");
    }
    ipc::Reply plug(const std::string& path) const {
        ipc::Json arguments = vbd;
        arguments["image"] = {{"format", "raw"}, {"path", path}};
        return host.call("plug", arguments);
    }
    ipc::Reply unplug(bool force) const {
        ipc::Json arguments = vbd;
        arguments["force"] = force;
        return host.call("unplug", arguments);
    }
    bool has_nodes() const {
        return host.store().read(xl.backend(disk) + "/state") ||
               host.store().read(Toolstack::frontend(disk) + "/state");
    }
};

}  // namespace

TEST_CASE("plug: a disk without a toolstack serves, and goes without a trace", "[control]") {
    Plugged it;
    CHECK(it.xl.frontend_node(it.disk, "backend") == it.xl.backend(it.disk));
    check_serves(it.host, it.disk);
    CHECK(it.unplug(false).error_message == "");
    CHECK_FALSE(it.has_nodes());
    it.xl.destroy_domain(5);
}

TEST_CASE("plug: a disk in use is unplugged when its guest has closed it", "[control]") {
    Plugged it;
    Guest guest(it.host, it.disk, verified_load({"--seconds", "600"}));
    REQUIRE(it.xl.wait_until_connected(it.disk));
    CHECK(it.unplug(false).error_message == "");
    CHECK(guest.wait() == 0);
    CHECK_FALSE(it.has_nodes());
    it.xl.destroy_domain(5);
}

TEST_CASE("plug: by force a disk goes without its guest's consent", "[control]") {
    Plugged it;
    Guest guest(it.host, it.disk, verified_load({"--seconds", "600", "--never-close"}));
    REQUIRE(it.xl.wait_until_connected(it.disk));
    CHECK(it.unplug(true).error_message == "");
    CHECK(guest.wait() == 1);
    CHECK_FALSE(it.has_nodes());
    it.xl.destroy_domain(5);
}

TEST_CASE("plug: what a guest that closes at once has sent is answered before its nodes go", "[control]") {
    Plugged it;
    const bool force = GENERATE(false, true);
    const bool paused = GENERATE(false, true);
    Guest guest(it.host, it.disk, verified_load({"--seconds", "600", "--close-at-once", "--timeout", "5"}));
    REQUIRE(it.xl.wait_until_connected(it.disk));
    // Nothing is taken from the rings any more: they are full of what the guest waits for.
    if (paused) CHECK(it.host.call("pause", it.vbd).error_message == "");
    CHECK(it.unplug(force).error_message == "");
    const int status = guest.wait();
    INFO(guest.output());
    CHECK_THAT(guest.output(), !Catch::Contains("no answer for"));
    CHECK_THAT(guest.output(), !Catch::Contains("closed the disk while it was in use"));
    if (!paused && !force) CHECK(status == 0);
    CHECK_FALSE(it.has_nodes());
    it.xl.destroy_domain(5);
}

TEST_CASE("plug: what a tapdisk that died has left is answered when its disk is taken away", "[control]") {
    Plugged it;
    hold_the_dead(it.host);
    const bool force = GENERATE(false, true);
    const bool replaced = GENERATE(false, true);
    Guest guest(it.host, it.disk, verified_load({"--seconds", "600", "--close-at-once", "--timeout", "20"}));
    REQUIRE(it.xl.wait_until_connected(it.disk));
    REQUIRE(it.host.tapdisks().size() == 1);
    testing::send_signal(it.host.tapdisks().front(), SIGKILL);
    REQUIRE(testing::wait_until([&] { return it.host.entry(5, xvda).value("state", "") == "held"; }));
    CHECK(guest.running());
    if (replaced) it.host.replace_tapback();
    CHECK(it.unplug(force).error_message == "");
    guest.wait();
    INFO(guest.output() << it.host.log());
    CHECK_THAT(guest.output(), !Catch::Contains("no answer for"));
    CHECK_THAT(guest.output(), !Catch::Contains("closed the disk while it was in use"));
    CHECK_FALSE(it.has_nodes());
    it.xl.destroy_domain(5);
}

TEST_CASE("plug: a paused disk says so", "[control]") {
    Plugged it;
    const auto state = [&] { return it.host.entry(5, xvda).value("state", ""); };
    CHECK(it.host.call("pause", it.vbd).error_message == "");
    CHECK(state() == "paused");
    CHECK(testing::wait_until([&] { return it.xl.backend_node(it.disk, "tapdisk/status") == "paused"; }));
    it.host.replace_tapback();
    CHECK(testing::wait_until([&] { return state() == "paused"; }));
    CHECK(it.host.call("resume", it.vbd).error_message == "");
    CHECK(state() == "waiting for the guest");
    Guest guest(it.host, it.disk, verified_load({"--seconds", "600"}));
    REQUIRE(it.xl.wait_until_connected(it.disk));
    CHECK(it.host.call("pause", it.vbd).error_message == "");
    CHECK(state() == "paused");
    CHECK(it.host.call("resume", it.vbd).error_message == "");
    CHECK(state() == "connected");
    guest.interrupt();
    CHECK(guest.wait() == 0);
    CHECK(it.unplug(false).error_message == "");
    it.xl.destroy_domain(5);
}

TEST_CASE("plug: a guest that comes while its disk is paused waits, and is served", "[control]") {
    Plugged it;
    CHECK(it.host.call("pause", it.vbd).error_message == "");
    Guest guest(it.host, it.disk, verified_load({"--seconds", "600"}));
    REQUIRE(testing::wait_until([&] { return it.xl.frontend_node(it.disk, "state") == "3"; }));
    it.host.replace_tapback();  // the next one looks at everything again
    CHECK(testing::wait_until([&] { return it.host.entry(5, xvda).value("state", "") == "paused"; }));
    CHECK(it.xl.backend_node(it.disk, "state") == "2");
    CHECK(it.host.call("resume", it.vbd).error_message == "");
    REQUIRE(it.xl.wait_until_connected(it.disk));
    guest.interrupt();
    CHECK(guest.wait() == 0);
    CHECK(it.unplug(false).error_message == "");
    it.xl.destroy_domain(5);
}

TEST_CASE("plug: the domain's end is the disk's", "[control]") {
    Plugged it;
    Guest guest(it.host, it.disk, verified_load({"--seconds", "600"}));
    REQUIRE(it.xl.wait_until_connected(it.disk));
    guest.kill();
    it.xl.destroy_domain(5);
    CHECK(testing::wait_until([&] { return !it.has_nodes(); }, 10s));
}

TEST_CASE("plug: what cannot be is refused, and leaves no node", "[control]") {
    Plugged it;
    CHECK(it.plug(it.host.make_image("second", image_size_bytes)).error_code == "system:EEXIST");
    it.vbd["device"] = xvdb;
    CHECK(it.plug("/nowhere/image").error_code == "system:ENOENT");
    it.vbd["domain"] = 77;
    CHECK(it.plug(it.host.path("second")).error_code == "system:ENOENT");
    CHECK(it.host.store().list("backend/vbd3/77").empty());
    CHECK(it.host.store().list("backend/vbd3/5").size() == 1);
    CHECK(it.host.store().list("/local/domain/5/device/vbd").size() == 1);
    it.vbd = {{"domain", 5}, {"device", xvda}};
    CHECK(it.unplug(false).error_message == "");
    it.xl.destroy_domain(5);
}

TEST_CASE("plug: a toolstack's disk is not unplugged", "[control]") {
    Scene scene(any_xl());
    scene.attach(scene.disk);
    const ipc::Reply reply = scene.host.call("unplug", {{"domain", 5}, {"device", xvda}, {"force", true}});
    CHECK(reply.error_code == "wrong-state");
    check_serves(scene.host, scene.disk);
    scene.detach(scene.disk);
}

TEST_CASE("plug: a plugged disk outlives tapback, and can be unplugged after", "[control]") {
    Plugged it;
    Guest guest(it.host, it.disk, verified_load({"--seconds", "600"}));
    REQUIRE(it.xl.wait_until_connected(it.disk));
    it.host.replace_tapback();
    CHECK(it.unplug(false).error_message == "");
    CHECK(guest.wait() == 0);
    CHECK_FALSE(it.has_nodes());
    it.xl.destroy_domain(5);
}

TEST_CASE("plug: a disk is unplugged in the end, whenever tapback is killed meanwhile", "[control]") {
    Plugged it;
    StoreRelay relay;
    REQUIRE(it.host.stop_tapback() == 0);
    it.host.set_tapback_environment({relay.variable()});
    it.host.start_tapback();
    const auto try_to_unplug = [&it] {
        try {
            it.unplug(false);
        } catch (const std::system_error&) {
            // Killed before it could answer.
        }
    };
    unsigned message = 1;
    for (bool happened = true; happened; ++message) {
        INFO("killed before message " << message);
        relay.before_message(message, [&it] { it.host.kill_tapback(); });
        try_to_unplug();
        happened = relay.end();
        if (happened) it.host.start_tapback();
        const bool gone = testing::wait_until(
            [&] {
                if (it.host.entry(5, xvda).is_null()) return true;
                try_to_unplug();
                return false;
            },
            5s);
        INFO(it.host.log());
        REQUIRE(gone);
        CHECK_FALSE(it.has_nodes());
        REQUIRE(it.plug(it.host.path("image")).error_message == "");
        REQUIRE(message < 200);
    }
    CHECK(message > 5);
    CHECK(it.unplug(false).error_message == "");
    it.xl.destroy_domain(5);
}
