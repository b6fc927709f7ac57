// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A xenstored that refuses: a quota that is used up, no memory, transactions that others spoil. And what tapback asks
// of it: few nodes, which nobody but the two ends of a disk may read, and its guest may not write.
#include <algorithm>
#include <atomic>
#include <thread>

#include "tests/control/host/scene.hpp"
#include "tests/control/host/store_relay.hpp"

using namespace blktap;
using namespace blktap::control_test;
using namespace std::chrono_literals;

namespace {

/// A disk under load, and a tapback whose xenstored refuses when the test says so.
struct Refused : Scene {
    explicit Refused(Xl version) : Scene(version) {
        xl.create_domain(6);
        host.set_tapback_environment({relay.variable()});
        host.replace_tapback();
        attach(other);
        worker.emplace(host, other, verified_load({"--seconds", "600"}));
        REQUIRE(xl.wait_until_connected(other));
        tapback = host.tapback_pid();
        tapdisks = host.tapdisks();
    }
    std::uint64_t requests() const {
        const ipc::Reply reply = host.call("stats", {{"domain", 6}, {"device", xvda}});
        return reply.error_message.empty() ? reply.result.at("connection").at("taken").get<std::uint64_t>() : 0;
    }
    void check_goes_on() {
        const std::uint64_t before = requests();
        CHECK(testing::wait_until([&] { return requests() > before + 100; }));
        CHECK(worker->running());
    }
    void end() {
        INFO("tapback said:\n" << host.log());
        CHECK(host.tapback_runs());
        CHECK(host.tapback_pid() == tapback);
        for (const pid_t tapdisk : tapdisks)
            CHECK(std::ranges::count(host.tapdisks(), tapdisk) == 1);
        worker->interrupt();
        CHECK(worker->wait() == 0);
        detach(other);
        host.kill_tapback();  // before the relay
        host.set_tapback_environment({});
        host.start_tapback();
    }

    StoreRelay relay{};
    Disk other = disk_of(6, xvda);
    std::optional<Guest> worker{};
    pid_t tapback = 0;
    std::vector<pid_t> tapdisks{};
};

/// Owner and reader of a node, as libxenstore says.
std::vector<std::pair<unsigned, unsigned>> permissions_of(const std::string& path) {
    xs_handle* const handle = xs_open(0);
    unsigned count = 0;
    xs_permissions* const permissions = xs_get_permissions(handle, XBT_NULL, path.c_str(), &count);
    std::vector<std::pair<unsigned, unsigned>> result;
    for (unsigned i = 0; permissions != nullptr && i < count; ++i)
        result.emplace_back(permissions[i].id, static_cast<unsigned>(permissions[i].perms));
    std::free(permissions);
    xs_close(handle);
    return result;
}

void collect(const XenStore& store, const std::string& path, std::vector<std::string>& paths) {
    paths.push_back(path);
    for (const std::string& child : store.list(path))
        collect(store, path + '/' + child, paths);
}

std::vector<std::string> all_below(const XenStore& store, const std::string& path) {
    std::vector<std::string> paths;
    collect(store, path, paths);
    return paths;
}

}  // namespace

TEST_CASE(
    "refusing store: while a quota is used up disks go on, a guest that comes waits, and is served after "
    "(XSA-115, XSA-322, XSA-326)",
    "[control]") {
    Refused scene(any_xl());
    const std::string error = GENERATE("ENOSPC", "ENOMEM", "EAGAIN");
    INFO(error);
    scene.attach(scene.disk);
    scene.relay.answer_by(
        [&error](StoreRelay::Asks asks) { return asks == StoreRelay::Asks::writes ? error.c_str() : nullptr; });
    Guest guest(scene.host, scene.disk, verified_load({"--requests", "300", "--timeout", "60"}));
    CHECK(testing::wait_until([&] { return scene.relay.refused() >= 3; }, 20s));
    scene.check_goes_on();
    CHECK(scene.xl.backend_node(scene.disk, "state") != "4");
    scene.relay.answer_by({});
    const int status = guest.wait();
    INFO("the guest said:\n" << guest.output() << "tapback said:\n" << scene.host.log());
    CHECK(status == 0);
    scene.detach(scene.disk);
    scene.end();
}

TEST_CASE(
    "refusing store: a disk has few nodes, whatever its guest does, and none that is the guest's (XSA-115, "
    "XSA-322, XSA-326, XSA-483, XSA-484, XSA-512)",
    "[control]") {
    Scene scene(any_xl());
    const std::string backend = scene.xl.backend(scene.disk);
    const std::string frontend = Toolstack::frontend(scene.disk);
    scene.attach(scene.disk);
    check_serves(scene.host, scene.disk);
    const std::size_t nodes = all_below(scene.host.store(), backend).size();
    const std::size_t guests = all_below(scene.host.store(), frontend).size();
    CHECK(nodes <= 48);
    for (int i = 0; i < 5; ++i) {
        check_serves(scene.host, scene.disk, {"--persistent"});
        CHECK(all_below(scene.host.store(), backend).size() <= nodes);
    }
    // What the guest wrote of its rings, and nothing of ours.
    CHECK(all_below(scene.host.store(), frontend).size() <= guests + 1);
    for (const std::string& path : all_below(scene.host.store(), backend)) {
        INFO(path);
        for (const auto& [domain, rights] : permissions_of(path)) {
            CHECK((domain == 0 || domain == 5));
            CHECK((rights & XS_PERM_WRITE) == 0);
        }
        CHECK(permissions_of(path).front().first == 0);
    }
    scene.detach(scene.disk);
}

TEST_CASE(
    "refusing store: nodes of a plugged disk have their permissions from their first moment on (XSA-115, "
    "XSA-322)",
    "[control]") {
    const Scene scene(Xl::v4_19);
    const std::string image = scene.host.make_image("plugged", image_size_bytes);
    const ipc::Json vbd{{"domain", 5}, {"device", xvdb}};
    const Disk disk{.domain = 5, .device = xvdb};
    std::atomic<bool> over = false;
    std::atomic<unsigned> seen = 0;
    std::atomic<unsigned> open = 0;
    std::thread looker([&] {
        using Rights = std::vector<std::pair<unsigned, unsigned>>;
        const Rights backend{{0, XS_PERM_NONE}, {5, XS_PERM_READ}};
        const Rights frontend{{5, XS_PERM_NONE}, {0, XS_PERM_READ}};
        while (!over) {
            for (const auto& [path, expected] :
                 {std::pair{scene.xl.backend(disk), backend}, {Toolstack::frontend(disk), frontend}}) {
                for (const std::string& node : {path, path + "/state"}) {
                    const Rights found = permissions_of(node);
                    if (found.empty()) continue;
                    ++seen;
                    if (found != expected) ++open;
                }
            }
        }
    });
    for (int i = 0; i < 20; ++i) {
        ipc::Json arguments = vbd;
        arguments["image"] = {{"format", "raw"}, {"path", image}};
        CHECK(scene.host.call("plug", arguments).error_message == "");
        CHECK(scene.host.call("unplug", vbd).error_message == "");
    }
    over = true;
    looker.join();
    CHECK(seen > 20);
    CHECK(open == 0);
}
