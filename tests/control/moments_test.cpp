// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What others write between two things that tapback or block-tapdisk reads. Both decide on several nodes at once, and a
// decision must never rest on two moments: the other side's transaction is put before every message to xenstored.
#include "tests/control/host/scene.hpp"
#include "tests/control/host/store_relay.hpp"

using namespace blktap;
using namespace blktap::control_test;
using Catch::Contains;
using namespace std::chrono_literals;

namespace {

/// A host whose tapback reaches xenstored through the relay.
struct Watched : Scene {
    explicit Watched(Xl version) : Scene(version) {
        REQUIRE(host.stop_tapback() == 0);
        host.set_tapback_environment({relay.variable()});
        host.start_tapback();
    }

    /// What a guest's driver writes, as one change.
    void write_frontend(const std::vector<std::pair<std::string, std::string>>& nodes) const {
        host.store().transact([&](const StoreTransaction& transaction) {
            if (!transaction.read(Toolstack::frontend(disk) + "/backend")) return;
            for (const auto& [name, value] : nodes)
                transaction.write(Toolstack::frontend(disk) + '/' + name, value);
        });
    }
    /// Writes the nodes and runs the script as libxl does, but goes on whatever comes of it.
    void try_to_attach() {
        xl.write_nodes(disk);
        testing::wait_until([&] { return xl.backend_node(disk, "state") != "1"; }, 1s);
        xl.run_script(disk, "add");
    }
    /// Once: to ask again would help a disk that the first time went wrong with.
    void ask_to_close() const {
        if (xl.backend_node(disk, "online") == "1") xl.ask_to_close(disk, false);
    }
    /// The rest of a detach. libxl waits ten seconds for Closed, and then leaves the disk as it is.
    void detach() {
        ask_to_close();
        INFO("tapback said:\n" << host.log());
        REQUIRE(xl.wait_for_backend_state(disk, "6", 5s));
        xl.run_script(disk, "remove");
        xl.remove_nodes(disk);
        CHECK(testing::wait_until([&] { return host.entry(disk.domain, disk.device).is_null(); }, 10s));
    }
    /// Nothing of a disk that its toolstack has removed comes back, not even an empty directory.
    void check_gone() const {
        CHECK(testing::wait_until([&] { return host.entry(disk.domain, disk.device).is_null(); }, 10s));
        for (const char* kind : {"backend/vbd/5", "backend/vbd3/5"})
            CHECK(host.store().list(kind) == std::vector<std::string>{});
    }
    std::string problem() const { return host.entry(disk.domain, disk.device).value("problem", ""); }

    StoreRelay relay{};
};

/// Runs `life` with `act` before the first message to xenstored that it causes, before the second, ... until it causes
/// fewer. `check` runs after each, `prepare` before.
void before_every_message(
    StoreRelay& relay, const std::function<void()>& act, const std::function<void()>& life,
    const std::function<void()>& check, const std::function<void()>& prepare = [] {}) {
    unsigned message = 1;
    for (bool happened = true; happened; ++message) {
        INFO("before message " << message);
        prepare();
        relay.before_message(message, act);
        life();
        happened = relay.end();
        check();
        REQUIRE(message < 500);
    }
    CHECK(message > 3);  // or nothing was tried
}

}  // namespace

TEST_CASE("moments: a disk without an image can be detached at any moment", "[control]") {
    Watched scene(Xl::v4_19);
    const auto life = [&] {
        scene.xl.write_nodes(scene.disk);
        testing::wait_until([&] { return scene.xl.backend_node(scene.disk, "state") != "1"; }, 1s);
        scene.ask_to_close();
        testing::wait_until([&] { return scene.xl.backend_node(scene.disk, "state") == "6"; }, 1s);
    };
    before_every_message(
        scene.relay, [&] { scene.ask_to_close(); }, life, [&] { scene.detach(); });
}

TEST_CASE("moments: a disk can be detached at any moment of its attach", "[control]") {
    Watched scene(any_xl());
    before_every_message(
        scene.relay, [&] { scene.ask_to_close(); }, [&] { scene.try_to_attach(); }, [&] { scene.detach(); });
}

TEST_CASE("moments: a disk can be detached at any moment of its frontend's beginning anew", "[control]") {
    Watched scene(Xl::v4_19);
    const auto life = [&] {
        scene.write_frontend({{"state", "6"}});
        testing::wait_until([&] { return scene.xl.backend_node(scene.disk, "state") == "6"; }, 1s);
        scene.write_frontend({{"state", "1"}});
        testing::wait_until([&] { return scene.xl.backend_node(scene.disk, "state") == "2"; }, 50ms);
    };
    before_every_message(
        scene.relay, [&] { scene.ask_to_close(); }, life, [&] { scene.detach(); }, [&] { scene.try_to_attach(); });
}

TEST_CASE("moments: a guest's disk can be detached at any moment of the guest's coming and going", "[control]") {
    Watched scene(Xl::v4_19);
    const auto life = [&] {
        Guest guest(scene.host, scene.disk, verified_load({"--requests", "20", "--timeout", "5"}));
        guest.wait();
    };
    before_every_message(
        scene.relay, [&] { scene.ask_to_close(); }, life, [&] { scene.detach(); }, [&] { scene.try_to_attach(); });
}

TEST_CASE("moments: a disk that is removed at any moment leaves nothing and does not come back", "[control]") {
    Watched scene(any_xl());
    const auto life = [&] {
        scene.try_to_attach();
        scene.write_frontend({{"state", "6"}});
        testing::wait_until([&] { return scene.xl.backend_node(scene.disk, "state") != "2"; }, 50ms);
    };
    const auto check = [&] {
        scene.xl.remove_nodes(scene.disk);
        scene.check_gone();
    };
    before_every_message(
        scene.relay, [&] { scene.xl.remove_nodes(scene.disk); }, life, check);
}

TEST_CASE("moments: a plugged disk that is removed at any moment does not come back", "[control]") {
    Watched scene(Xl::v4_19);
    const ipc::Json vbd{{"domain", 5}, {"device", xvda}};
    const auto prepare = [&] {
        ipc::Json plug = vbd;
        plug["image"] = {{"format", "raw"}, {"path", scene.host.path("image-5-51712")}};
        REQUIRE(scene.host.call("plug", plug).error_message == "");
    };
    before_every_message(
        scene.relay, [&] { scene.xl.remove_nodes(scene.disk); }, [&] { scene.host.call("unplug", vbd); },
        [&] { scene.check_gone(); }, prepare);
}

TEST_CASE("moments: a frontend that closes is not blamed for the keys that it took away", "[control]") {
    Watched scene(Xl::v4_19);
    const std::string frontend = Toolstack::frontend(scene.disk);
    const auto close = [&] {
        scene.host.store().transact([&](const StoreTransaction& transaction) {
            transaction.write(frontend + "/state", "6");
            transaction.remove(frontend + "/ring-ref");
            transaction.remove(frontend + "/event-channel");
        });
    };
    const auto life = [&] {
        scene.write_frontend({{"ring-ref", "1"}, {"event-channel", "1"}, {"state", "3"}});
        // No such grant: it is refused, unless it has closed before.
        testing::wait_until([&] { return scene.xl.backend_node(scene.disk, "state") != "2"; }, 1s);
    };
    const auto check = [&] {
        CHECK_THAT(scene.problem(), !Contains("holds nothing"));
        scene.detach();
    };
    before_every_message(scene.relay, close, life, check, [&] { scene.try_to_attach(); });
}

TEST_CASE("moments: a disk gets the tapdisk that its directory names at one moment", "[control]") {
    Watched scene(Xl::v4_19);
    const auto call = [&](const std::string& request, const ipc::Json& arguments = ipc::Json::object()) {
        const ipc::Reply reply = scene.host.call(request, arguments);
        CHECK(reply.error_message == "");
        return reply.result;
    };
    std::vector<ipc::Json> taps;
    const auto make_tap = [&](const std::string& path) {
        ipc::Json tap{{"pid", call("tap-spawn").at("pid")}, {"minor", call("tap-allocate").at("minor")}};
        call("tap-attach", tap);
        taps.push_back(tap);
        tap["image"] = {{"format", "raw"}, {"path", path}};
        call("tap-open", tap);
    };
    const auto name_tap = [&](std::size_t index) {
        scene.host.store().transact([&](const StoreTransaction& transaction) {
            const std::string directory = scene.xl.backend(scene.disk);
            if (!transaction.read(directory + "/frontend")) return;
            transaction.write(directory + "/pid", taps.at(index).at("pid").dump());
            transaction.write(directory + "/minor", taps.at(index).at("minor").dump());
        });
    };
    const auto prepare = [&] {
        taps.clear();
        make_tap(scene.host.path("image-5-51712"));
        make_tap(scene.host.make_image("other", image_size_bytes));
        scene.xl.write_nodes(scene.disk);
        REQUIRE(scene.xl.wait_for_offers(scene.disk).okay());
    };
    const auto life = [&] {
        name_tap(0);
        testing::wait_until([&] { return scene.host.entry(5, xvda).contains("minor"); }, 1s);
    };
    const auto check = [&] {
        CHECK_THAT(scene.host.log(), !Contains("not known to tapback"));
        CHECK(scene.host.entry(5, xvda).contains("minor"));
        scene.detach();
        for (const ipc::Json& tap : taps)
            call("tap-destroy", tap);
    };
    before_every_message(
        scene.relay, [&] { name_tap(1); }, life, check, prepare);
}

TEST_CASE("moments: block-tapdisk takes target and mode of one moment", "[control]") {
    Scene scene(Xl::v4_19);
    StoreRelay relay;
    scene.xl.script_environment = {relay.variable()};
    const Disk other = scene.disk_of(5, xvdb);
    const auto change = [&] {
        scene.host.store().transact([&](const StoreTransaction& transaction) {
            transaction.write(scene.xl.backend(scene.disk) + "/params", "aio:" + other.target);
            transaction.write(scene.xl.backend(scene.disk) + "/mode", "r");
        });
    };
    bool added = false;
    const auto life = [&] {
        scene.xl.write_nodes(scene.disk);
        REQUIRE(scene.xl.wait_for_offers(scene.disk).okay());
        added = scene.xl.run_script(scene.disk, "add").okay();
    };
    const auto check = [&] {
        if (added) {
            const ipc::Json image = scene.host.entry(5, xvda).at("image");
            CHECK("aio:raw:" + image.at("path").get<std::string>() == scene.xl.backend_node(scene.disk, "params"));
            CHECK(image.at("read-only") == (scene.xl.backend_node(scene.disk, "mode") == "r"));
        }
        scene.detach(scene.disk);
    };
    before_every_message(relay, change, life, check);
}

TEST_CASE("moments: a disk's life costs xenstored about a hundred messages", "[control]") {
    Watched scene(Xl::v4_19);
    scene.relay.before_message(0, [] {});
    scene.attach(scene.disk);
    const unsigned attached = scene.relay.messages();
    check_serves(scene.host, scene.disk);
    const unsigned served = scene.relay.messages();
    scene.detach();
    INFO(attached << " to attach, " << served << " when its guest has gone, " << scene.relay.messages() << " in all");
    // A guest waits for each of them, and a host may have a thousand disks. How many looks it takes depends on timing.
    CHECK(attached < 45);
    CHECK(scene.relay.messages() < 160);
}
