// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Frontends of all kinds, the ones that guests are known for and those that mean harm.
#include <csignal>
#include <random>

#include "tests/control/host/scene.hpp"
#include "tests/support/process.hpp"

using namespace blktap;
using namespace blktap::control_test;
using namespace std::chrono_literals;

namespace {

using Words = std::vector<std::string>;

/// A disk that has been attached, beside another one whose guest works all the time.
struct TwoGuests : Scene {
    explicit TwoGuests(Xl version) : Scene(version) {
        xl.create_domain(6);
        attach(disk);
        attach(other);
        worker.emplace(host, other, verified_load({"--seconds", "600"}));
        REQUIRE(xl.wait_until_connected(other));
    }
    /// The other guest noticed nothing, and both disks go.
    void end() {
        worker->interrupt();
        const int status = worker->wait();
        INFO("the other guest said:\n" << worker->output());
        CHECK(status == 0);
        detach(disk);
        detach(other);
    }
    Disk other = disk_of(6, xvda);
    std::optional<Guest> worker;
};

}  // namespace

TEST_CASE("frontend: every shape that guests have is served, one after the other", "[control]") {
    Scene scene(any_xl());
    scene.attach(scene.disk);
    const std::vector<Words> shapes{
        {},
        {"--ring-order", "4"},
        {"--queues", "2", "--ring-order", "2", "--persistent"},
        {"--persistent"},
        {"--protocol", "x86_32"},
        {"--protocol", "x86_32", "--omit-protocol"},
        {"--straight-to-connected"},
        {"--no-init-wait"},
        {"--no-init-wait", "--straight-to-connected"},
        {"--node", "feature-large-sector-size=1", "--node", "num-ring-pages=1", "--ring-order", "0"},
    };
    for (const Words& shape : shapes) {
        CAPTURE(shape);
        check_serves(scene.host, scene.disk, shape);
        CHECK(scene.xl.wait_for_backend_state(scene.disk, "6", 10s));
        CHECK(scene.host.world().pages_mapped_by(0) == 0);
    }
    CHECK(scene.host.tapdisks().size() == 1);
    scene.detach(scene.disk);
}

TEST_CASE("frontend: one that is ready before its image is served when the image is there", "[control]") {
    Scene scene(any_xl());
    scene.xl.write_nodes(scene.disk);
    REQUIRE(scene.xl.wait_for_offers(scene.disk).okay());
    const bool directly = GENERATE(false, true);
    Words words{"--requests", "300"};
    if (directly) words.push_back("--straight-to-connected");
    Guest guest(scene.host, scene.disk, verified_load(words));
    REQUIRE(testing::wait_until([&] { return scene.xl.frontend_node(scene.disk, "state") == (directly ? "4" : "3"); }));
    CHECK(scene.xl.backend_node(scene.disk, "state") == "2");
    REQUIRE(scene.xl.run_script(scene.disk, "add").okay());
    const int status = guest.wait();
    INFO(guest.output());
    CHECK(status == 0);
    scene.detach(scene.disk);
}

TEST_CASE("frontend: one that took blkback's offers of many queues is served with these", "[control]") {
    Scene scene(Xl::v4_17);
    scene.xl.write_nodes(scene.disk);
    scene.host.store().write(scene.xl.backend(scene.disk) + "/multi-queue-max-queues", "8");
    Guest guest(scene.host, scene.disk, verified_load({"--requests", "400", "--queues", "8", "--ring-order", "1"}));
    REQUIRE(testing::wait_until([&] { return scene.xl.frontend_node(scene.disk, "state") == "3"; }));
    REQUIRE(scene.xl.run_script(scene.disk, "add").okay());
    const int status = guest.wait();
    INFO(guest.output() << scene.host.log());
    CHECK(status == 0);
    scene.detach(scene.disk);
}

TEST_CASE("frontend: nonsense is refused, and the next good frontend is served", "[control]") {
    TwoGuests guests(any_xl());
    const std::vector<Words> nonsense{
        {"--node", "ring-ref=abc"},
        {"--node", "ring-ref="},
        {"--node", "ring-ref=4294967296"},
        {"--node", "ring-ref=4294967295"},
        {"--node", "ring-ref=-1"},
        {"--node", "event-channel=99999"},
        {"--node", "event-channel=x"},
        {"--node", "event-channel=0"},
        {"--node", "ring-page-order=99"},
        {"--node", "ring-page-order=18446744073709551616"},
        {"--node", "ring-page-order=2"},
        {"--node", "multi-queue-num-queues=1000"},
        {"--node", "multi-queue-num-queues=0"},
        {"--node", "multi-queue-num-queues=2"},
        {"--node", "protocol=vax-abi"},
        {"--node", "protocol="},
        {"--node", "protocol=" + std::string(1000, 'x')},
    };
    for (const Words& words : nonsense) {
        CAPTURE(words);
        Words all{"load", "--requests", "1", "--timeout", "10"};
        all.insert(all.end(), words.begin(), words.end());
        Guest guest(guests.host, guests.disk, all);
        CHECK(guest.wait() == 2);
        CHECK_THAT(guest.output(), Catch::Contains("refused to connect"));
        CHECK(guests.host.world().pages_mapped_by(0) > 0);  // the other guest's
    }
    check_serves(guests.host, guests.disk);
    guests.end();
}

TEST_CASE("frontend: more queues than were offered are refused, and the problem says how many those are", "[control]") {
    Scene scene(Xl::v4_19);
    scene.attach(scene.disk);
    // As of a host with three processors.
    scene.host.store().write(scene.xl.backend(scene.disk) + "/multi-queue-max-queues", "3");
    Guest guest(scene.host, scene.disk, {"load", "--requests", "1", "--node", "multi-queue-num-queues=16"});
    CHECK(guest.wait() == 2);
    CHECK_THAT(scene.host.entry(5, xvda).value("problem", ""), Catch::Contains("more than the 3 offered"));
    scene.detach(scene.disk);
}

TEST_CASE("frontend: another domain's grants are not to be had", "[control]") {
    TwoGuests guests(any_xl());
    const std::string ref = guests.xl.frontend_node(guests.other, "ring-ref");
    const std::string port = guests.xl.frontend_node(guests.other, "event-channel");
    REQUIRE(ref != "none");
    for (const Words& words : {Words{"--node", "ring-ref=" + ref}, Words{"--node", "event-channel=" + port}}) {
        Words all{"load", "--requests", "1", "--timeout", "10"};
        all.insert(all.end(), words.begin(), words.end());
        Guest guest(guests.host, guests.disk, all);
        CHECK(guest.wait() == 2);
    }
    check_serves(guests.host, guests.disk);
    guests.end();
}

TEST_CASE("frontend: nodes in its directory that name another guest's things change nothing of the other's",
          "[control][XSA-175][XSA-178]") {
    TwoGuests guests(any_xl());
    const XenStore& store = guests.host.store();
    const ipc::Json plugged{{"domain", 5}, {"device", xvdb}};
    ipc::Json plug = plugged;
    plug["image"] = {{"format", "raw"}, {"path", guests.host.make_image("plugged", image_size_bytes)}};
    REQUIRE(guests.host.call("plug", plug).error_message == "");
    const std::string victims = guests.xl.backend(guests.other);
    const auto state = [&] { return store.read(victims + "/state").value_or("none"); };
    REQUIRE(state() == "4");
    for (const std::uint32_t device : {xvda, xvdb}) {
        const std::string own = "/local/domain/5/device/vbd/" + std::to_string(device);
        for (const auto& [name, value] : {std::pair<const char*, std::string>{"backend", victims},
                                          {"backend-id", "6"},
                                          {"virtual-device", "51712"},
                                          {"frontend", Toolstack::frontend(guests.other)},
                                          {"frontend-id", "6"},
                                          {"online", "0"},
                                          {"tapdisk/owner", "another"},
                                          {"tapdisk/life", store.read(victims + "/tapdisk/life").value_or("")}})
            store.write(own + '/' + name, value);
        for (const char* const step : {"5", "6", "1"})
            store.write(own + "/state", step);
    }
    // Its own driver would follow them.
    store.write(Toolstack::frontend(guests.disk) + "/backend", guests.xl.backend(guests.disk));
    store.write(Toolstack::frontend(guests.disk) + "/backend-id", "0");
    check_serves(guests.host, guests.disk);
    CHECK(guests.host.call("unplug", plugged).error_message == "");
    CHECK_FALSE(store.read("/local/domain/5/device/vbd/51728/state"));
    CHECK(state() == "4");
    CHECK(store.read(Toolstack::frontend(guests.other) + "/state") == "4");
    guests.end();
}

TEST_CASE("frontend: toggling its state as fast as it can hurts nobody but itself", "[control][XSA-349]") {
    TwoGuests guests(any_xl());
    std::mt19937 random(20240229);
    const std::vector<std::string> values{"0", "1", "2", "3", "4", "5", "6", "7", "8", "", "x", "99999999999999999999"};
    const std::string state = Toolstack::frontend(guests.disk) + "/state";
    guests.host.store().write(Toolstack::frontend(guests.disk) + "/ring-ref", "9");
    guests.host.store().write(Toolstack::frontend(guests.disk) + "/event-channel", "9");
    for (int i = 0; i < 20'000; ++i)
        guests.host.store().write(state, values[random() % values.size()]);
    guests.host.store().write(state, "6");
    CHECK(guests.xl.wait_for_backend_state(guests.disk, "6", 20s));
    check_serves(guests.host, guests.disk);
    guests.end();
}

TEST_CASE("frontend: connecting and leaving without end leaves nothing mapped", "[control][XSA-350][XSA-371]") {
    Scene scene(any_xl());
    scene.attach(scene.disk);
    for (int i = 0; i < 10; ++i) {
        Guest guest(scene.host, scene.disk, {"load", "--seconds", "600"});
        REQUIRE(scene.xl.wait_until_connected(scene.disk));
        guest.kill();
        // The domain lives on, and its next driver finds what the last one left.
        scene.host.store().write(Toolstack::frontend(scene.disk) + "/state", "6");
        REQUIRE(scene.xl.wait_for_backend_state(scene.disk, "6", 10s));
        CHECK(scene.host.world().pages_mapped_by(0) == 0);
        CHECK(scene.host.world().ports_of(0) == 0);
    }
    check_serves(scene.host, scene.disk);
    scene.detach(scene.disk);
}

TEST_CASE("frontend: one that begins again while nobody looks is served, not the rings that it left", "[control]") {
    Scene scene(any_xl());
    scene.attach(scene.disk);
    Guest first(scene.host, scene.disk, verified_load({"--seconds", "600"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    const std::string event_channel = Toolstack::frontend(scene.disk) + "/event-channel";
    const auto before = scene.host.store().read(event_channel);
    const bool restarted = GENERATE(false, true);
    if (restarted) scene.host.kill_tapback();
    const pid_t tapback = scene.host.tapback_pid();
    if (!restarted) REQUIRE(testing::send_signal(tapback, SIGSTOP));
    first.kill();
    // As firmware, it does not wait for offers, and as Linux it goes on because the backend is in Connected.
    Guest second(scene.host, scene.disk, verified_load({"--requests", "200", "--timeout", "5", "--no-init-wait"}));
    REQUIRE(testing::wait_until([&] {
        return scene.host.store().read(event_channel) != before && scene.xl.frontend_node(scene.disk, "state") == "4";
    }));
    if (restarted) scene.host.start_tapback();
    if (!restarted) testing::send_signal(tapback, SIGCONT);
    const int status = second.wait();
    INFO("the guest said:\n" << second.output() << "tapback said:\n" << scene.host.log());
    CHECK(status == 0);
    check_serves(scene.host, scene.disk);
    scene.detach(scene.disk);
}

TEST_CASE("frontend: reconnecting as fast as it can makes a guest wait, and no other", "[control]") {
    TwoGuests guests(any_xl());
    const std::string front = Toolstack::frontend(guests.disk);
    guests.host.store().write(front + "/ring-ref", "9");
    guests.host.store().write(front + "/event-channel", "9");
    const std::string state = front + "/state";
    // As its driver would: waits for each answer, so that each round costs a whole connection.
    const auto enter = [&](const char* frontend, const char* backend) {
        guests.host.store().write(state, frontend);
        CHECK(guests.xl.wait_for_backend_state(guests.disk, backend, 20s));
    };
    const auto paced = [&] {
        return testing::read_file(guests.host.path("log")).find("vbd.paced") != std::string::npos;
    };
    const std::size_t lines = guests.host.logged("");
    int rounds = 0;
    for (; rounds < 100 && !paced(); ++rounds) {
        enter("1", "2");
        enter("3", "5");
        enter("6", "6");
    }
    CHECK(paced());
    // From then on two steps a second: at most 60 such rounds in a minute, and as many lines as here for each.
    CHECK(guests.host.logged("") - lines <= static_cast<std::size_t>(rounds) * 6 + 2);
    CHECK(guests.worker->running());
    guests.host.store().write(state, "6");
    CHECK(guests.xl.wait_for_backend_state(guests.disk, "6", 10s));  // to leave is never too soon
    check_serves(guests.host, guests.disk);
    guests.end();
}
