// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// xenstored lost, and come back: with its nodes, or with none. What is not known is not gone: running disks go on.
#include <algorithm>

#include "tests/control/host/scene.hpp"

using namespace blktap;
using namespace blktap::control_test;
using namespace std::chrono_literals;

namespace {

using Nodes = std::vector<std::pair<std::string, std::string>>;

void collect(const XenStore& store, const std::string& path, Nodes& nodes) {
    nodes.emplace_back(path, store.read(path).value_or(""));
    for (const std::string& child : store.list(path))
        collect(store, path + '/' + child, nodes);
}

/// A disk under load, and what xenstored holds of it.
struct Running : Scene {
    explicit Running(Xl version) : Scene(version) {
        attach(disk);
        guest.emplace(host, disk, verified_load({"--seconds", "600", "--timeout", "20"}));
        REQUIRE(xl.wait_until_connected(disk));
        REQUIRE(testing::wait_until([this] { return xl.frontend_node(disk, "state") == "4"; }));
        collect(host.store(), "/local", nodes);
        collect(host.store(), "/libxl", nodes);
        tapdisks = host.tapdisks();
    }
    std::uint64_t requests() const {
        const ipc::Reply reply = host.call("stats", {{"domain", 5}, {"device", xvda}});
        REQUIRE(reply.error_message == "");
        return reply.result.at("connection").at("taken").get<std::uint64_t>();
    }
    void check_goes_on() {
        const std::uint64_t before = requests();
        CHECK(testing::wait_until([&] { return requests() > before + 500; }));
        CHECK(guest->running());
        CHECK(host.tapdisks() == tapdisks);
    }
    bool has_xenstore() const { return host.call("status").result.value("xenstore", false); }
    void restart_xenstored() {
        host.xenstored().start();
        host.reopen_store();
    }
    void restore_nodes() {
        host.store().transact([this](const StoreTransaction& transaction) { write_nodes(transaction); });
        host.introduce(5);
    }
    /// Each in a moment of its own, in this order.
    void write_nodes(const StoreNodes& store) const {
        for (const auto& [path, value] : nodes)
            store.write(path, value);
    }
    void end() {
        INFO("tapback said:\n" << host.log());
        guest->interrupt();
        const int status = guest->wait();
        INFO(guest->output());
        CHECK(status == 0);
        detach(disk);
    }

    std::optional<Guest> guest;
    Nodes nodes;
    std::vector<pid_t> tapdisks;
};

}  // namespace

TEST_CASE("xenstored: running disks go on without it", "[control]") {
    Running scene(any_xl());
    scene.host.xenstored().kill();
    CHECK(testing::wait_until([&] { return !scene.has_xenstore(); }, 15s));
    scene.check_goes_on();
    SECTION("with tapback") {
        scene.restart_xenstored();
        scene.restore_nodes();
    }
    SECTION("and without tapback") {
        scene.host.kill_tapback();
        scene.restart_xenstored();
        scene.restore_nodes();
        scene.host.start_tapback();
    }
    CHECK(testing::wait_until([&] { return scene.has_xenstore(); }, 15s));
    scene.check_goes_on();
    scene.end();
}

TEST_CASE("xenstored: come back empty, it ends no disk", "[control]") {
    Running scene(any_xl());
    scene.host.xenstored().kill();
    scene.restart_xenstored();
    CHECK(testing::wait_until([&] { return scene.has_xenstore(); }, 15s));
    scene.check_goes_on();
    SECTION("while nothing happens") {}
    SECTION("nor when other domains come and go") {
        scene.xl.create_domain(9);
        scene.xl.destroy_domain(9);
        scene.check_goes_on();
    }
    SECTION("nor when its nodes come back one after the other") {
        const bool backwards = GENERATE(false, true);
        if (backwards) std::ranges::reverse(scene.nodes);
        scene.write_nodes(scene.host.store());
        scene.check_goes_on();
    }
    scene.restore_nodes();
    scene.end();
}

TEST_CASE("xenstored: come back, it has new disks attached", "[control]") {
    Running scene(any_xl());
    scene.host.xenstored().kill();
    scene.restart_xenstored();
    scene.restore_nodes();
    CHECK(testing::wait_until([&] { return scene.has_xenstore(); }, 15s));
    const Disk second = scene.disk_of(5, xvdb);
    scene.attach(second);
    check_serves(scene.host, second);
    scene.detach(second);
    scene.end();
}
