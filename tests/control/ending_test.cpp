// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// How disks end, asked and unasked.
#include "tests/control/host/scene.hpp"
#include "tests/support/places.hpp"

using namespace blktap;
using namespace blktap::control_test;
using namespace std::chrono_literals;

namespace {

/// A disk whose guest writes and verifies until something happens.
struct Busy : Scene {
    explicit Busy(Xl version, const std::vector<std::string>& more = {}) : Scene(version) {
        attach(disk);
        std::vector<std::string> words{"--seconds", "600", "--timeout", "20"};
        words.insert(words.end(), more.begin(), more.end());
        guest.emplace(host, disk, verified_load(words));
        REQUIRE(xl.wait_until_connected(disk));
    }
    /// Several looks, so that requests are under way.
    std::uint64_t requests() const {
        const ipc::Reply reply = host.call("stats", {{"domain", disk.domain}, {"device", disk.device}});
        REQUIRE(reply.error_code == "");
        return reply.result.at("connection").at("taken").get<std::uint64_t>();
    }
    void wait_for_progress() const {
        const std::uint64_t before = requests();
        REQUIRE(testing::wait_until([&] { return requests() > before + 100; }));
    }
    std::optional<Guest> guest;
};

}  // namespace

TEST_CASE("ending: a disk in use is detached when its guest has closed it", "[control]") {
    Busy scene(any_xl());
    scene.wait_for_progress();
    scene.detach(scene.disk);
    const int status = scene.guest->wait();
    INFO(scene.guest->output());
    CHECK(status == 0);
}

TEST_CASE("ending: a guest that never leaves Closing keeps its disk, until force", "[control]") {
    Busy scene(any_xl(), {"--never-close"});
    const auto refused = scene.xl.detach(scene.disk, 1s);
    CHECK_THAT(refused.error, Catch::Contains("unable to remove"));
    CHECK(scene.xl.frontend_node(scene.disk, "state") == "5");
    scene.wait_for_progress();
    CHECK(scene.guest->running());
    const auto forced = scene.xl.detach_by_force(scene.disk);
    CHECK(forced.error == "");
    CHECK(scene.guest->wait() == 1);
    CHECK_THAT(scene.guest->output(), Catch::Contains("closed the disk while it was in use"));
}

TEST_CASE("ending: a domain destroyed under load takes its disk along", "[control]") {
    Busy scene(any_xl());
    scene.wait_for_progress();
    const bool crashed = GENERATE(false, true);
    if (crashed) {
        scene.guest->kill();
    } else {
        scene.guest->pause();
    }
    scene.xl.destroy_domain(5);
    CHECK(testing::wait_until([&] { return scene.host.tapdisks().empty(); }, 10s));
    CHECK(scene.host.world().pages_mapped_by(0) == 0);
}

TEST_CASE("ending: a frontend's directory that vanishes is a disconnect", "[control]") {
    Busy scene(any_xl());
    scene.host.store().remove(Toolstack::frontend(scene.disk));
    CHECK(testing::wait_until([&] { return scene.host.world().pages_mapped_by(0) == 0; }, 10s));
    CHECK(scene.xl.wait_for_backend_state(scene.disk, "6", 10s));
    CHECK(scene.guest->wait() == 1);
    CHECK(scene.xl.backend_node(scene.disk, "frontend") != "none");  // ours to read, libxl's to delete
    scene.xl.destroy_domain(5);
}

TEST_CASE("ending: a domain that dies with its nodes still there is let go of", "[control]") {
    Busy scene(any_xl());
    scene.guest->kill();
    scene.host.release(5);
    CHECK(testing::wait_until([&] { return scene.host.world().pages_mapped_by(0) == 0; }, 10s));
    CHECK(testing::wait_until([&] { return scene.host.world().ports_of(0) == 0; }, 10s));
    scene.host.introduce(5);
    scene.xl.destroy_domain(5);
}

TEST_CASE("ending: all nodes of a disk removed at once is the end of it", "[control]") {
    Busy scene(any_xl());
    scene.host.store().transact([&](const StoreTransaction& transaction) {
        transaction.remove(Toolstack::frontend(scene.disk));
        transaction.remove(scene.xl.backend(scene.disk));
    });
    CHECK(testing::wait_until([&] { return scene.host.tapdisks().empty(); }, 10s));
    CHECK(scene.guest->wait() == 1);
    CHECK(scene.host.store().read(scene.xl.backend(scene.disk) + "/state") == std::nullopt);  // nothing comes back
    scene.xl.destroy_domain(5);
}

TEST_CASE("ending: a detach before the guest ever came", "[control]") {
    Scene scene(any_xl());
    SECTION("with an image") {
        scene.attach(scene.disk);
    }
    SECTION("without one") {
        scene.xl.write_nodes(scene.disk);
        REQUIRE(scene.xl.wait_for_offers(scene.disk).okay());
    }
    // No guest, so nobody answers Closing: the frontend is still in Initialising.
    const auto outcome = scene.xl.detach(scene.disk);
    CHECK(outcome.error == "");
}

TEST_CASE("ending: a script that removes without being asked to, and twice", "[control]") {
    Scene scene(any_xl());
    scene.attach(scene.disk);
    CHECK(scene.xl.run_script(scene.disk, "remove").okay());
    CHECK(testing::wait_until([&] { return scene.host.tapdisks().empty(); }, 10s));
    CHECK(scene.xl.run_script(scene.disk, "remove").okay());
    scene.xl.destroy_domain(5);
}

TEST_CASE("ending: a disk of the takeover goes when Xen's own script is told to remove it", "[control]") {
    Scene scene(Xl::v4_17);
    scene.disk.target = scene.host.path("image-5-51712");  // a plain line
    scene.attach(scene.disk);
    const std::string script = scene.xl.backend(scene.disk) + "/script";
    CHECK_FALSE(scene.host.entry(5, xvda).contains("takeover"));
    scene.host.store().write(script, "/etc/xen/scripts/block");
    CHECK(scene.host.entry(5, xvda).value("takeover", false));
    // "tap-ctl takeover disable" has put Xen's "block" back: it looks for the loop device that it made, finds none, and
    // says so. libxl takes no notice.
    scene.xl.script = BLKTAP_SOURCE_DIR "/tests/control/host/block-remove";
    SECTION("its guest is there") {
        Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600"}));
        REQUIRE(scene.xl.wait_until_connected(scene.disk));
        scene.detach(scene.disk);
        CHECK(guest.wait() == 0);
    }
    SECTION("it was never used") {
        scene.detach(scene.disk);
    }
    SECTION("its domain is destroyed") {
        scene.xl.destroy_domain(5);
    }
    CHECK(testing::wait_until([&] { return scene.host.entry(5, xvda).is_null(); }, 10s));
    CHECK(scene.host.tapdisks().empty());
}
