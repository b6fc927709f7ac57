// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A disk's backend directory that is removed, and made anew for another disk, before the first disk has ended: because
// its tapdisk or its storage hangs, because tapback is restarted meanwhile, or because tapback is busy. The guest then
// has the new disk, or the toolstack has an error and there is no disk.
#include <algorithm>
#include <csignal>
#include <fstream>
#include <future>
#include <thread>

#include "tests/control/host/scene.hpp"
#include "tests/control/host/store_relay.hpp"
#include "tests/support/process.hpp"

using namespace blktap;
using namespace blktap::control_test;
using Catch::Contains;
using namespace std::chrono_literals;

namespace {

/// How a disk reaches tapback.
enum class Way { vbd, vbd3, block_tap };

Way any_way() {
    const Way way = GENERATE(Way::vbd, Way::vbd3, Way::block_tap);
    return way;
}

constexpr const char* made_anew = "was removed and made anew";

/// One device, and two disks that it is one after the other.
struct Lives : Scene {
    explicit Lives(Way which) : Scene(which == Way::vbd ? Xl::v4_17 : Xl::v4_19), way(which) {
        if (way == Way::block_tap) use_block_tap(*this);
        disk = of_image("old");
        next = of_image("new");
    }
    Disk of_image(const std::string& name) const {
        const std::string path = host.make_image(name, image_size_bytes);
        return {.domain = 5, .device = xvda, .target = way == Way::block_tap ? path : "raw:" + path};
    }
    bool is_written(const std::string& image) const {
        const std::string bytes = testing::read_file(host.path(image));
        return std::ranges::any_of(bytes, [](char byte) { return byte != 0; });
    }
    /// Attaches the old disk, where `in_use` with a guest that reads it.
    void begin(bool in_use) {
        attach(disk);
        if (!in_use) return;
        guest.emplace(host, disk, std::vector<std::string>{"load", "--mix", "read", "--seconds", "600"});
        REQUIRE(xl.wait_until_connected(disk));
    }
    /// What becomes of the old disk when its toolstack waits no longer.
    void remove_old() {
        if (guest) guest->kill();
        xl.remove_nodes(disk);
    }
    /// Calls `then` when xl has written the nodes of the next disk.
    void when_next_is_there(const std::function<void()>& then) {
        xl.before_step = [then](const std::string& step) {
            if (step == "wait for InitWait") then();
        };
    }
    bool is_told() const {
        return testing::wait_until([this] { return host.logged(made_anew) > 0; });
    }
    /// A guest that writes does so into the new image.
    void check_next() {
        check_serves(host, next);
        CHECK(is_written("new"));
        CHECK_FALSE(is_written("old"));
        CHECK(host.entry(5, xvda).at("image").at("path") == host.path("new"));
        detach(next);
    }
    pid_t tapdisk() const {
        REQUIRE(host.tapdisks().size() == 1);
        return host.tapdisks().front();
    }
    void restart_hurried() {
        REQUIRE(host.stop_tapback() == 0);
        // It waits for what does not come, and gives up: half a minute of its own time.
        host.run_tapback_by({"/usr/bin/env", "HURRY=20",
                             "LD_PRELOAD=" BLKTAP_LIB_DIR "/libfakexen.so:" BLKTAP_LIB_DIR "/libhurriedclock.so"});
        host.start_tapback();
    }
    std::string record_path() const { return host.run_directory() + "/5-51712.json"; }
    std::string life() const { return xl.backend_node(disk, "tapdisk/life"); }

    const Way way;
    Disk next{};
    std::optional<Guest> guest{};
};

/// Everything below a directory.
using Nodes = std::vector<std::pair<std::string, std::string>>;
Nodes nodes_below(const StoreNodes& store, const std::string& path) {
    Nodes nodes{{path, store.read(path).value_or("none")}};
    for (const std::string& child : store.list(path)) {
        const Nodes below = nodes_below(store, path + '/' + child);
        nodes.insert(nodes.end(), below.begin(), below.end());
    }
    return nodes;
}

/// As an earlier version has it.
void forget_life(const Lives& scene) {
    ipc::Json record = ipc::Json::parse(testing::read_file(scene.record_path()));
    REQUIRE(record.erase("life") == 1);
    std::ofstream(scene.record_path()) << record.dump();
    scene.host.store().remove(scene.xl.backend(scene.disk) + "/tapdisk/life");
}

}  // namespace

TEST_CASE("life: a disk made anew while tapback is busy is the new one", "[control]") {
    const Way way = any_way();
    const bool in_use = GENERATE(false, true);
    Lives scene(way);
    scene.begin(in_use);
    const pid_t tapback = scene.host.tapback_pid();
    REQUIRE(testing::send_signal(tapback, SIGSTOP));
    scene.remove_old();
    scene.when_next_is_there([tapback] { testing::send_signal(tapback, SIGCONT); });
    scene.attach(scene.next);
    scene.check_next();
}

TEST_CASE("life: a disk made anew while tapback is restarted is the new one", "[control]") {
    const Way way = any_way();
    const bool in_use = GENERATE(false, true);
    Lives scene(way);
    scene.begin(in_use);
    scene.host.kill_tapback();
    scene.remove_old();
    scene.when_next_is_there([&scene] { scene.host.start_tapback(); });
    scene.attach(scene.next);
    scene.check_next();
}

TEST_CASE("life: a disk made anew while the old one hangs is the new one when that has ended", "[control]") {
    const Way way = any_way();
    const bool in_use = GENERATE(false, true);
    Lives scene(way);
    scene.begin(in_use);
    const pid_t tapdisk = scene.tapdisk();
    REQUIRE(testing::send_signal(tapdisk, SIGSTOP));
    scene.remove_old();
    std::thread storage([&scene, tapdisk] {
        scene.is_told();
        testing::send_signal(tapdisk, SIGCONT);
    });
    scene.xl.attach(scene.next);
    storage.join();
    INFO(scene.host.log());
    CHECK(scene.host.logged(made_anew) == 1);
    scene.check_next();
}

TEST_CASE("life: no disk is made in the place of one that hangs on, and the error says so", "[control]") {
    const Way way = any_way();
    const bool in_use = GENERATE(false, true);
    Lives scene(way);
    scene.restart_hurried();
    scene.begin(in_use);
    const pid_t tapdisk = scene.tapdisk();
    REQUIRE(testing::send_signal(tapdisk, SIGSTOP));
    scene.remove_old();
    if (way == Way::vbd) {
        CHECK_THAT(scene.xl.attach(scene.next).error, Contains("has not ended"));
        CHECK(scene.xl.backend_node(scene.next, "tapdisk/owner") == "none");
        CHECK(scene.host.take_unbound().empty());  // the kernel's driver has it, and closes it
    } else {
        scene.xl.write_nodes(scene.next);
        CHECK(scene.is_told());
        CHECK_THAT(scene.host.entry(5, xvda).value("problem", ""), Contains(made_anew));
        CHECK(scene.host.call("tap-list").result.at("taps").empty());
        CHECK(scene.xl.backend_node(scene.next, "state") == "1");  // for which xl waits ten seconds
        CHECK(scene.life() == "none");
    }
    CHECK(scene.xl.detach_by_force(scene.next).error == "");
    testing::send_signal(tapdisk, SIGCONT);
    CHECK(testing::wait_until([&] { return scene.host.entry(5, xvda).is_null(); }, 10s));
    scene.xl.before_step = [](const std::string&) {};
    scene.attach(scene.next);
    scene.check_next();
}

TEST_CASE("life: the end of a disk touches no node of a directory that was made anew, at any moment", "[control]") {
    Lives scene(Way::vbd);
    StoreRelay relay;
    REQUIRE(scene.host.stop_tapback() == 0);
    scene.host.set_tapback_environment({relay.variable()});
    scene.host.start_tapback();
    const bool by_force = GENERATE(false, true);
    unsigned message = 1;
    for (bool happened = true; happened; ++message) {
        INFO("before message " << message);
        scene.attach(scene.disk);
        Guest guest(scene.host, scene.disk, {"load", "--mix", "read", "--seconds", "600"});
        REQUIRE(scene.xl.wait_until_connected(scene.disk));
        Nodes written;
        std::promise<void> asked;  // tapback may still have something to say about the connection
        relay.before_message(message, [&] {
            asked.get_future().wait();
            // Claimed by its script, which has not told tapback yet: only an old disk could write here.
            scene.xl.remove_nodes(scene.disk);
            scene.xl.write_nodes(scene.next);
            scene.host.store().write(scene.xl.backend(scene.next) + "/tapdisk/owner", "tapback");
            written = nodes_below(scene.host.store(), scene.xl.backend(scene.next));
        });
        scene.xl.ask_to_close(scene.disk, by_force);
        asked.set_value();
        if (by_force) guest.kill();
        testing::wait_until([&] { return scene.xl.backend_node(scene.disk, "state") == "6" || !written.empty(); }, 5s);
        scene.host.call("detach", {{"backend", "backend/vbd/5/51712"}});
        happened = relay.end();
        CHECK(testing::wait_until([&] { return scene.host.entry(5, xvda).is_null(); }, 10s));
        if (happened) CHECK(nodes_below(scene.host.store(), scene.xl.backend(scene.next)) == written);
        scene.xl.remove_nodes(scene.next);
        REQUIRE(message < 200);
    }
    CHECK(message > 5);
}

TEST_CASE("life: a script gives its image to no later disk, whenever its own is removed", "[control]") {
    Lives scene(any_xl() == Xl::v4_17 ? Way::vbd : Way::vbd3);
    StoreRelay relay;
    scene.xl.script_environment = {relay.variable()};
    unsigned message = 1;
    for (bool happened = true; happened; ++message) {
        INFO("before message " << message);
        scene.xl.write_nodes(scene.disk);
        REQUIRE(scene.xl.wait_for_offers(scene.disk).okay());
        relay.before_message(message, [&] {
            scene.xl.remove_nodes(scene.disk);
            scene.xl.write_nodes(scene.next);
        });
        const bool added = scene.xl.run_script(scene.disk, "add").okay();
        happened = relay.end();
        const auto image = [&] {
            const ipc::Json entry = scene.host.entry(5, xvda);
            return entry.contains("image") ? entry.at("image").value("path", "") : "";
        };
        if (!happened) {
            CHECK(image() == scene.host.path("old"));
        } else if (added) {
            CHECK(image() == scene.host.path("new"));
        } else {
            CHECK(testing::wait_until([&] { return image().empty(); }));
        }
        CHECK(scene.xl.detach_by_force(happened ? scene.next : scene.disk).error == "");
        CHECK(testing::wait_until([&] { return scene.host.entry(5, xvda).is_null(); }, 10s));
        REQUIRE(message < 100);
    }
    CHECK(message > 5);
}

TEST_CASE("life: an image is not attached by the mark of a directory that is gone", "[control]") {
    Lives scene(any_xl() == Xl::v4_17 ? Way::vbd : Way::vbd3);
    scene.xl.write_nodes(scene.disk);
    REQUIRE(scene.xl.wait_for_offers(scene.disk).okay());
    const ipc::Json backend = scene.xl.backend(scene.disk).substr(std::string("/local/domain/0/").size());
    const auto claim = [&] {
        const ipc::Reply reply = scene.host.call("claim", {{"backend", backend}});
        CHECK(reply.error_message == "");
        return reply.result.at("life");
    };
    const auto attach = [&](const ipc::Json& life) {
        return scene.host.call(
            "attach",
            {{"backend", backend}, {"image", {{"format", "raw"}, {"path", scene.host.path("old")}}}, {"life", life}});
    };
    const ipc::Json first = claim();
    CHECK(claim() == first);
    CHECK(ipc::Json(scene.life()) == first);
    scene.xl.remove_nodes(scene.disk);
    scene.xl.write_nodes(scene.next);
    const ipc::Json second = claim();
    CHECK_FALSE(second == first);
    CHECK_THAT(attach(first).error_message, Contains("made anew"));
    CHECK(scene.host.tapdisks().empty());
    CHECK(attach(second).error_message == "");
    CHECK(scene.xl.detach_by_force(scene.next).error == "");
}

TEST_CASE("life: a disk of an earlier version, which marked nothing, goes on and is marked", "[control]") {
    Lives scene(any_way());
    scene.attach(scene.disk);
    scene.guest.emplace(scene.host, scene.disk, verified_load({"--seconds", "600"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    const auto tapdisks = scene.host.tapdisks();
    REQUIRE(scene.host.stop_tapback() == 0);
    forget_life(scene);
    // A tapback that died between the mark and the record.
    if (GENERATE(false, true)) scene.host.store().write(scene.xl.backend(scene.disk) + "/tapdisk/life", "0123");
    scene.host.start_tapback();
    CHECK(testing::wait_until([&] { return scene.host.entry(5, xvda).value("state", "") == "connected"; }));
    const auto record = [&] { return ipc::Json::parse(testing::read_file(scene.record_path())); };
    CHECK(testing::wait_until([&] { return scene.life() != "none" && record().value("life", "") == scene.life(); }));
    CHECK(scene.host.tapdisks() == tapdisks);
    scene.guest->interrupt();
    CHECK(scene.guest->wait() == 0);
    scene.detach(scene.disk);
}

TEST_CASE("life: of an earlier version's disks of block-tap, one whose directory names another tapdisk has ended",
          "[control]") {
    Lives scene(Way::block_tap);
    scene.begin(GENERATE(false, true));
    // The script has told tapback of the disk, which is not yet its disk.
    REQUIRE(testing::wait_until([&scene] { return ::access(scene.record_path().c_str(), F_OK) == 0; }));
    REQUIRE(scene.host.stop_tapback() == 0);
    forget_life(scene);
    scene.remove_old();
    scene.when_next_is_there([&scene] { scene.host.start_tapback(); });
    scene.attach(scene.next);
    scene.check_next();
}

TEST_CASE("life: what is unplugged is what was plugged, and not a disk that has its place", "[control]") {
    Lives scene(Way::vbd3);
    const ipc::Json vbd{{"domain", 5}, {"device", xvda}};
    ipc::Json plug = vbd;
    plug["image"] = {{"format", "raw"}, {"path", scene.host.path("old")}};
    REQUIRE(scene.host.call("plug", plug).error_message == "");
    const pid_t tapback = scene.host.tapback_pid();
    REQUIRE(testing::send_signal(tapback, SIGSTOP));
    scene.xl.remove_nodes(scene.disk);
    scene.xl.write_nodes(scene.next);
    testing::send_signal(tapback, SIGCONT);
    CHECK(scene.xl.wait_for_offers(scene.next).okay());
    CHECK(scene.host.call("unplug", vbd).error_code == "wrong-state");
    CHECK(scene.xl.run_script(scene.next, "add").okay());
    scene.check_next();
}
