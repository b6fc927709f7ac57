// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What goes well: the disks of an xl, from its first key to its last.
#include "tests/control/host/scene.hpp"

using namespace blktap;
using namespace blktap::control_test;
using namespace std::chrono_literals;

TEST_CASE("attach: a disk serves verified I/O, and its detach leaves nothing", "[control]") {
    Scene scene(any_xl());
    scene.attach(scene.disk);
    CHECK(scene.xl.backend_node(scene.disk, "hotplug-status") == "connected");
    CHECK(scene.host.tapdisks().size() == 1);
    check_serves(scene.host, scene.disk);
    CHECK(scene.xl.backend_node(scene.disk, "sectors") == std::to_string(image_size_bytes / 512));
    CHECK(scene.xl.backend_node(scene.disk, "sector-size") == "512");
    CHECK(scene.xl.backend_node(scene.disk, "info") == "0");
    scene.detach(scene.disk);
}

TEST_CASE("attach: what a guest needs to know is there before the state that it waits for", "[control]") {
    Scene scene(Xl::v4_19);
    scene.xl.write_nodes(scene.disk);
    REQUIRE(scene.xl.wait_for_offers(scene.disk).okay());
    CHECK(scene.host.tapdisks().empty());  // no image is known yet
    CHECK(scene.xl.backend_node(scene.disk, "max-ring-page-order") == "4");
    CHECK(scene.xl.backend_node(scene.disk, "max-ring-pages") == "16");
    CHECK(scene.xl.backend_node(scene.disk, "multi-queue-max-queues") != "none");
    CHECK(scene.xl.backend_node(scene.disk, "feature-max-indirect-segments") == "256");
    REQUIRE(scene.xl.run_script(scene.disk, "add").okay());
    Guest guest(scene.host, scene.disk, verified_load({"--seconds", "60"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    for (const char* feature : {"feature-flush-cache", "feature-barrier", "feature-persistent", "feature-discard"})
        CHECK(scene.xl.backend_node(scene.disk, feature) == "1");
    CHECK(scene.xl.backend_node(scene.disk, "physical-sector-size") != "none");
    CHECK(scene.xl.backend_node(scene.disk, "discard-granularity") != "none");
    guest.interrupt();
    CHECK(guest.wait() == 0);
    scene.detach(scene.disk);
}

TEST_CASE("attach: a device of the kernel's driver is claimed, then taken from it", "[control]") {
    Scene scene(Xl::v4_17);
    scene.attach(scene.disk);
    CHECK(scene.host.take_unbound() == "vbd-5-51712");
    CHECK(scene.xl.backend_node(scene.disk, "tapdisk/owner") != "none");
    CHECK(scene.xl.backend_node(scene.disk, "state") == "2");
    CHECK(scene.xl.backend_node(scene.disk, "max-ring-pages") == "16");  // our offers, not blkback's
    scene.detach(scene.disk);
}

TEST_CASE("attach: a disk of the kernel's driver that nobody claimed is left alone", "[control]") {
    Scene scene(Xl::v4_17);
    scene.xl.write_nodes(scene.disk);
    scene.attach(scene.disk_of(5, xvdb));  // tapback has looked around since
    CHECK(scene.xl.backend_node(scene.disk, "max-ring-pages") == "none");
    CHECK(scene.xl.backend_node(scene.disk, "tapdisk/owner") == "none");
    CHECK(scene.xl.backend_node(scene.disk, "state") == "2");
    scene.detach(scene.disk);
    scene.xl.destroy_domain(5);
}

TEST_CASE("attach: a read-only disk says so, and is", "[control][XSA-142]") {
    Scene scene(any_xl());
    scene.disk.read_only = true;
    scene.attach(scene.disk);
    Guest reader(scene.host, scene.disk, {"load", "--mix", "read", "--requests", "100"});
    CHECK(reader.wait() == 0);
    CHECK(scene.xl.backend_node(scene.disk, "info") == "4");
    CHECK(scene.xl.backend_node(scene.disk, "feature-discard") != "1");
    Guest writer(scene.host, scene.disk, {"load", "--mix", "write", "--requests", "1"});
    CHECK(writer.wait() == 2);
    CHECK_THAT(writer.output(), Catch::Contains("read-only"));
    scene.detach(scene.disk);
}

TEST_CASE("attach: who may write is the disk's mode, whatever a request says", "[control]") {
    Scene scene(any_xl());
    scene.disk.read_only = true;
    const std::string path = scene.host.path("image-5-51712");
    const ipc::Json writable{{"format", "raw"}, {"path", path}};
    const auto call = [&](const std::string& request, const ipc::Json& arguments) {
        CHECK(scene.host.call(request, arguments).error_message == "");
    };
    ipc::Json name{{"domain", 5}, {"device", xvda}};
    SECTION("attach") {
        scene.xl.write_nodes(scene.disk);
        REQUIRE(scene.xl.wait_for_offers(scene.disk).okay());
        const std::string backend = scene.xl.backend(scene.disk).substr(std::string("/local/domain/0/").size());
        call("claim", {{"backend", backend}});
        call("attach", {{"backend", backend}, {"image", writable}});
    }
    SECTION("resume with the same image") {
        scene.attach(scene.disk);
        call("pause", name);
        call("resume", {{"domain", 5}, {"device", xvda}, {"image", writable}});
    }
    SECTION("resume with another one") {
        scene.attach(scene.disk);
        call("pause", name);
        ipc::Json other = writable;
        other["path"] = scene.host.make_image("other", image_size_bytes);
        call("resume", {{"domain", 5}, {"device", xvda}, {"image", other}});
        CHECK(scene.host.entry(5, xvda).at("image").at("read-only") == true);
        call("pause", name);
        call("resume", {{"domain", 5}, {"device", xvda}, {"image", writable}});
    }
    SECTION("resume under the next tapback") {
        scene.attach(scene.disk);
        call("pause", name);
        scene.host.replace_tapback();
        REQUIRE(testing::wait_until([&] { return scene.host.entry(5, xvda).value("state", "") == "paused"; }));
        call("resume", {{"domain", 5}, {"device", xvda}, {"image", writable}});
    }
    CHECK(scene.host.entry(5, xvda).at("image").at("read-only") == true);
    CHECK(scene.host.entry(5, xvda).at("description").at("read-only") == true);
    name["size"] = 2 * image_size_bytes;
    CHECK_THAT(scene.host.call("resize", name).error_message, Catch::Contains("read-only"));
    // Nor is it locked against others that read.
    Disk second = scene.disk;
    second.device = xvdb;
    scene.attach(second);
    scene.detach(second);
    scene.detach(scene.disk);
}

TEST_CASE("attach: a disk without discard does not offer it", "[control]") {
    Scene scene(any_xl());
    scene.disk.discard = false;
    scene.attach(scene.disk);
    check_serves(scene.host, scene.disk);
    CHECK(scene.xl.backend_node(scene.disk, "feature-discard") != "1");
    scene.detach(scene.disk);
}

TEST_CASE("attach: several disks of several guests at once", "[control]") {
    Scene scene(any_xl());
    std::vector<Disk> disks{scene.disk, scene.disk_of(5, xvdb)};
    for (const std::uint16_t domain : {std::uint16_t{6}, std::uint16_t{7}}) {
        scene.xl.create_domain(domain);
        disks.push_back(scene.disk_of(domain, xvda));
    }
    for (const Disk& disk : disks)
        scene.attach(disk);
    std::vector<std::unique_ptr<Guest>> guests;
    for (const Disk& disk : disks)
        guests.push_back(std::make_unique<Guest>(scene.host, disk, verified_load({"--requests", "2000"})));
    for (const auto& guest : guests) {
        CHECK(guest->wait() == 0);
        INFO(guest->output());
    }
    for (const Disk& disk : disks)
        scene.detach(disk);
}

TEST_CASE("attach: twice the same disk, one after the other", "[control]") {
    Scene scene(any_xl());
    for (int time = 0; time < 3; ++time) {
        scene.attach(scene.disk);
        check_serves(scene.host, scene.disk);
        scene.detach(scene.disk);
    }
}

TEST_CASE("attach: what one guest wrote the next one reads", "[control]") {
    Scene scene(any_xl());
    const std::string data = scene.host.make_image("data", 1u << 20);
    REQUIRE(testing::run({"/bin/sh", "-c", "head -c 1048576 /dev/urandom >" + data}, {}, 10s) == 0);
    scene.attach(scene.disk);
    CHECK(Guest(scene.host, scene.disk, {"write", "-i", data, "--range", "8:2048"}).wait() == 0);
    scene.detach(scene.disk);
    scene.xl.destroy_domain(5);
    scene.xl.create_domain(6);
    scene.disk.domain = 6;
    scene.attach(scene.disk);
    const std::string back = scene.host.path("back");
    CHECK(Guest(scene.host, scene.disk, {"read", "-o", back, "--range", "8:2048"}).wait() == 0);
    CHECK(testing::read_file(back) == testing::read_file(data));
    scene.detach(scene.disk);
}
