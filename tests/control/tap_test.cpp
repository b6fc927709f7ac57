// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Disks by Xen's own script block-tap (4.19 and later): tests/control/host/block-tap makes its calls.
#include <csignal>

#include "tests/control/host/interference.hpp"
#include "tests/control/host/scene.hpp"
#include "tests/support/places.hpp"
#include "tests/support/process.hpp"

using namespace blktap;
using namespace blktap::control_test;
using Catch::Contains;
using namespace std::chrono_literals;

namespace {

struct TapScene : Scene {
    TapScene() : Scene(Xl::v4_19) {
        xl.script = BLKTAP_SOURCE_DIR "/tests/control/host/block-tap";
        xl.script_environment = script_environment();
        disk = tap_disk(xvda, "image-5-51712");
    }
    std::vector<std::string> script_environment() const {
        return {"TOOLS=" BLKTAP_BIN_DIR, "LOCK=" + host.path("lock")};
    }
    /// A disk of domain 5, as "target=/path" of a disk line.
    Disk tap_disk(std::uint32_t device, const std::string& image) const {
        return {.domain = 5, .device = device, .target = host.make_image(image, image_size_bytes)};
    }
    ipc::Json taps() const { return host.call("tap-list").result.at("taps"); }
    std::string status(const Disk& which) const { return xl.backend_node(which, "tapdisk/status"); }
    bool says(const Disk& which, const std::string& words) const {
        return testing::wait_until([&] { return status(which).find(words) != std::string::npos; });
    }
    std::uint32_t number(const std::string& request, const char* field) const {
        const ipc::Reply reply = host.call(request);
        REQUIRE(reply.error_message == "");
        return reply.result.at(field).get<std::uint32_t>();
    }
    /// A tapdisk with a number and an image, which no disk has.
    ipc::Json open_tap(const std::string& path, bool read_only) const {
        const ipc::Json tap{{"pid", number("tap-spawn", "pid")}, {"minor", number("tap-allocate", "minor")}};
        CHECK(host.call("tap-attach", tap).error_message == "");
        ipc::Json open = tap;
        open["image"] = {{"format", "raw"}, {"path", path}, {"read-only", read_only}};
        CHECK(host.call("tap-open", open).error_message == "");
        return tap;
    }
    /// What the script writes at its end.
    void write_tap(const Disk& which, const ipc::Json& tap) const {
        host.store().write(xl.backend(which) + "/pid", tap.at("pid").dump());
        host.store().write(xl.backend(which) + "/minor", tap.at("minor").dump());
    }
    void destroy(const ipc::Json& tap) const { CHECK(host.call("tap-destroy", tap).error_message == ""); }
};

}  // namespace

TEST_CASE("tap: Xen's script attaches a disk that serves, and detaches it without a trace", "[control]") {
    TapScene scene;
    for (int time = 0; time < 2; ++time) {
        scene.attach(scene.disk);
        CHECK(scene.xl.backend_node(scene.disk, "minor") == "0");
        check_serves(scene.host, scene.disk);
        const ipc::Json entry = scene.host.entry(5, xvda);
        CHECK(std::to_string(entry.value("pid", 0)) == scene.xl.backend_node(scene.disk, "pid"));
        CHECK(entry.value("minor", 7) == 0);
        CHECK(scene.taps().size() == 1);
        scene.detach(scene.disk);
        CHECK(scene.taps().empty());
    }
}

TEST_CASE("tap: several disks have a tapdisk and a number each", "[control]") {
    TapScene scene;
    const Disk second = scene.tap_disk(xvdb, "second");
    scene.attach(scene.disk);
    scene.attach(second);
    CHECK(scene.xl.backend_node(second, "minor") == "1");
    CHECK(scene.host.tapdisks().size() == 2);
    check_serves(scene.host, scene.disk);
    check_serves(scene.host, second);
    scene.detach(scene.disk);
    check_serves(scene.host, second);
    scene.detach(second);
}

TEST_CASE("tap: a disk that only reads cannot write, though the script opens every image for writing", "[control]") {
    TapScene scene;
    scene.disk.read_only = true;
    scene.attach(scene.disk);
    Guest reader(scene.host, scene.disk, {"load", "--mix", "read", "--requests", "100"});
    CHECK(reader.wait() == 0);
    CHECK(scene.xl.backend_node(scene.disk, "info") == "4");
    Guest writer(scene.host, scene.disk, {"load", "--mix", "write", "--requests", "1"});
    CHECK(writer.wait() == 2);
    CHECK_THAT(writer.output(), Contains("read-only"));
    // Not even locked against writers' readers: the image is open for reading.
    CHECK(scene.host.entry(5, xvda).at("image").at("read-only") == true);
    scene.detach(scene.disk);
}

TEST_CASE("tap: two disks that only read share an image, and each outlives the other", "[control]") {
    TapScene scene;
    scene.disk.read_only = true;
    Disk second = scene.disk;
    second.device = xvdb;
    scene.attach(scene.disk);
    scene.attach(second);
    CHECK(scene.xl.backend_node(second, "pid") == scene.xl.backend_node(scene.disk, "pid"));
    CHECK(scene.taps().size() == 1);
    const Disk& first_to_go = GENERATE(true, false) ? scene.disk : second;
    const Disk& other = first_to_go.device == xvda ? second : scene.disk;
    Guest one(scene.host, first_to_go, {"load", "--mix", "read", "--requests", "500"});
    Guest two(scene.host, other, {"load", "--mix", "read", "--requests", "500"});
    CHECK(one.wait() == 0);
    CHECK(two.wait() == 0);
    SECTION("as they are") {}
    SECTION("across a restart of tapback") {
        scene.host.replace_tapback();
    }
    scene.detach(first_to_go);
    CHECK(scene.taps().size() == 1);
    Guest three(scene.host, other, {"load", "--mix", "read", "--requests", "500"});
    CHECK(three.wait() == 0);
    scene.detach(other);
    CHECK(scene.taps().empty());
}

TEST_CASE("tap: an image that is written is no second disk's", "[control]") {
    TapScene scene;
    scene.attach(scene.disk);
    Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    Disk second = scene.disk;
    second.device = xvdb;
    CHECK_THAT(scene.xl.attach(second).error, Contains("in use"));
    // Nor by a script that does not look.
    scene.write_tap(second, {{"pid", scene.host.entry(5, xvda).at("pid")}, {"minor", 0}});
    CHECK(scene.says(second, "only disks that read share an image"));
    CHECK(scene.host.tapdisks().size() == 1);
    CHECK(scene.xl.detach_by_force(second).error == "");
    guest.interrupt();
    CHECK(guest.wait() == 0);
    scene.detach(scene.disk);
}

TEST_CASE("tap: the disk's mode is held against what the image was opened for", "[control]") {
    TapScene scene;
    const ipc::Json tap = scene.open_tap(scene.disk.target, true);
    scene.xl.write_nodes(scene.disk);
    scene.write_tap(scene.disk, tap);
    CHECK(scene.says(scene.disk, "opened for reading only, and the disk is to be written"));
    CHECK(scene.host.entry(5, xvda).contains("pid") == false);
    CHECK(scene.xl.detach_by_force(scene.disk).error == "");
    scene.destroy(tap);
}

TEST_CASE("tap: a tapdisk that nobody knows makes no disk", "[control]") {
    TapScene scene;
    const ipc::Json tap = scene.open_tap(scene.host.make_image("other", image_size_bytes), false);
    scene.xl.write_nodes(scene.disk);
    // Never with the tapdisk's own number beside it, not for a moment: tapback may look at any time.
    scene.host.store().write(scene.xl.backend(scene.disk) + "/pid", tap.at("pid").dump());
    const auto write_minor = [&](const std::string& minor) {
        scene.host.store().write(scene.xl.backend(scene.disk) + "/minor", minor);
    };
    std::uint32_t unknown = 7;
    for (const char* no_number : {"-1", "99999999999", "0x0", ""}) {
        INFO("after the minor \"" << no_number << '"');
        write_minor(no_number);
        const std::string number = std::to_string(unknown++);
        write_minor(number);
        CHECK(scene.says(scene.disk, "number " + number + ": not known to tapback"));
        CHECK_FALSE(scene.host.entry(5, xvda).contains("pid"));
    }
    CHECK(scene.host.call("tap-list").result.at("taps").size() == 1);
    CHECK(scene.xl.detach_by_force(scene.disk).error == "");
    scene.destroy(tap);
}

TEST_CASE("tap: an image that cannot be is refused with the reason, and leaves nothing", "[control]") {
    TapScene scene;
    SECTION("no such file") {
        scene.disk.target = "/nowhere/image";
        CHECK_THAT(scene.xl.attach(scene.disk).error, Contains("No such file"));
    }
    SECTION("outside of the configured directories") {
        CHECK(scene.host.stop_tapback() == 0);
        scene.host.configure("image-directories = /nowhere\n");
        scene.host.start_tapback();
        CHECK_THAT(scene.xl.attach(scene.disk).error, Contains("outside of image-directories"));
    }
    SECTION("in use by an ordinary disk") {
        Disk ordinary = scene.disk;
        ordinary.device = xvdb;
        ordinary.target = "raw:" + scene.disk.target;
        scene.xl.script = BLKTAP_BIN_DIR "/block-tapdisk";
        scene.attach(ordinary);
        scene.xl.script = BLKTAP_SOURCE_DIR "/tests/control/host/block-tap";
        CHECK_THAT(scene.xl.attach(scene.disk).error, Contains("in use by the disk 5/51728"));
        scene.detach(ordinary);
    }
    CHECK(scene.taps().empty());
    CHECK(scene.xl.detach_by_force(scene.disk).error == "");
}

TEST_CASE("tap: what makes no sense is refused", "[control]") {
    TapScene scene;
    const auto error = [&](const std::string& request, const ipc::Json& arguments) {
        return scene.host.call(request, arguments).error_code;
    };
    const std::uint32_t pid = scene.number("tap-spawn", "pid");
    const std::uint32_t other = scene.number("tap-spawn", "pid");
    CHECK(scene.number("tap-allocate", "minor") == 0);
    CHECK(error("tap-attach", {{"pid", ::getpid()}, {"minor", 0}}) == "system:ENOENT");
    CHECK(error("tap-attach", {{"pid", pid}, {"minor", 1u << 20}}) == "system:EINVAL");
    CHECK(error("tap-attach", {{"pid", pid}, {"minor", 0}}).empty());
    CHECK(error("tap-attach", {{"pid", pid}, {"minor", 0}}).empty());
    CHECK(error("tap-attach", {{"pid", pid}, {"minor", 1}}) == "wrong-state");
    CHECK(error("tap-attach", {{"pid", other}, {"minor", 0}}) == "system:EBUSY");
    CHECK(error("tap-free", {{"minor", 0}}) == "system:EBUSY");
    CHECK(error("tap-free", {{"minor", 1u << 20}}) == "system:EINVAL");
    CHECK(error("tap-free", {{"minor", 9}}).empty());
    CHECK(error("tap-spawn", {{"minor", 9}}) == "bad-message");
    CHECK(error("tap-nothing", {}) == "unknown-request");
    ipc::Json open{{"pid", other}, {"minor", 1}, {"image", {{"format", "raw"}, {"path", scene.disk.target}}}};
    CHECK(error("tap-open", open) == "wrong-state");
    open["pid"] = pid;
    open["minor"] = 0;
    CHECK(error("tap-open", open).empty());
    CHECK(error("tap-open", open) == "wrong-state");
    scene.destroy({{"pid", pid}, {"minor", 7}});  // nobody's name
    CHECK(scene.taps().size() == 2);
    scene.destroy({{"pid", pid}, {"minor", 0}});
    CHECK(error("tap-attach", {{"pid", other}, {"minor", 0}}).empty());
    scene.destroy({{"pid", other}, {"minor", 0}});
    CHECK(scene.taps().empty());
}

TEST_CASE("tap: tapdisks and numbers of no disk are bounded", "[control]") {
    TapScene scene;
    for (std::uint32_t minor = 0; minor < 64; ++minor)
        CHECK(scene.number("tap-allocate", "minor") == minor);
    CHECK(scene.host.call("tap-allocate").error_code == "system:EAGAIN");
    CHECK(scene.host.call("tap-spawn").error_code == "system:EAGAIN");
    scene.host.replace_tapback();
    CHECK(scene.taps().size() == 64);
    for (std::uint32_t minor = 0; minor < 64; ++minor)
        CHECK(scene.host.call("tap-free", {{"minor", minor}}).error_message == "");
    CHECK(scene.taps().empty());
}

TEST_CASE("tap: a tapdisk that dies before a disk has it is forgotten", "[control]") {
    TapScene scene;
    scene.open_tap(scene.disk.target, false);
    for (const pid_t pid : scene.host.tapdisks())
        testing::send_signal(pid, SIGKILL);
    CHECK(testing::wait_until([&] { return scene.taps().empty(); }));
    scene.attach(scene.disk);
    check_serves(scene.host, scene.disk);
    scene.detach(scene.disk);
}

TEST_CASE("tap: tapback replaced before any call of the script", "[control]") {
    TapScene scene;
    scene.disk.read_only = GENERATE(false, true);
    const std::vector<std::string> load = scene.disk.read_only
                                              ? std::vector<std::string>{"load", "--mix", "read", "--requests", "200"}
                                              : verified_load({"--requests", "200"});
    unsigned failed = 0;
    for (unsigned steps = 1;; ++steps) {
        INFO("replaced at step " << steps);
        scene.xl.script_environment = scene.script_environment();
        scene.xl.script_environment.push_back("BREAK_AT=" + std::to_string(steps));
        Interference interference("/local/block-tap/step", steps, [&scene] {
            scene.host.replace_tapback();
            scene.host.store().write("/local/block-tap/go", "");
        });
        if (scene.xl.attach(scene.disk).okay()) {
            Guest guest(scene.host, scene.disk, load);
            CHECK(guest.wait() == 0);
        } else {
            ++failed;
        }
        const auto outcome = scene.xl.detach_by_force(scene.disk);
        INFO("tapback said:\n" << scene.host.log());
        REQUIRE(outcome.error == "");
        const bool happened = interference.end();
        scene.host.store().remove("/local/block-tap");
        CHECK(testing::wait_until([&] { return scene.taps().empty() && scene.host.tapdisks().empty(); }, 10s));
        if (!happened) break;
        REQUIRE(steps < 100);
    }
    CHECK(failed <= 2);  // before attach and before open: a tapdisk without an image ends with its tapback
    scene.xl.script_environment = scene.script_environment();
    scene.attach(scene.disk);
    scene.detach(scene.disk);
}

TEST_CASE("tap: tapback replaced after any change of xenstore", "[control]") {
    TapScene scene;
    scene.disk.read_only = GENERATE(false, true);
    for (unsigned changes = 1;; ++changes) {
        INFO("replaced after " << changes << " changes");
        Interference interference("/local", changes, [&scene] { scene.host.replace_tapback(); });
        if (scene.xl.attach(scene.disk).okay()) {
            Guest guest(scene.host, scene.disk, {"load", "--mix", "read", "--requests", "200"});
            const int status = guest.wait();
            INFO("the guest said:\n" << guest.output() << "tapback said:\n" << scene.host.log());
            CHECK(status == 0);
        }
        const auto outcome = scene.xl.detach_by_force(scene.disk);
        INFO("tapback said:\n" << scene.host.log());
        REQUIRE(outcome.error == "");
        const bool happened = interference.end();
        CHECK(testing::wait_until([&] { return scene.host.entry(5, xvda).is_null(); }, 10s));
        for (const ipc::Json& tap : scene.taps()) {
            if (tap.contains("pid")) scene.destroy({{"pid", tap["pid"]}, {"minor", tap.value("minor", 0)}});
            if (!tap.contains("pid")) CHECK(scene.host.call("tap-free", {{"minor", tap["minor"]}}).error_code.empty());
        }
        if (!happened) break;
        REQUIRE(changes < 1000);
    }
}

TEST_CASE("tap: a disk under load runs on without tapback, and is found again", "[control]") {
    TapScene scene;
    scene.attach(scene.disk);
    Guest guest(scene.host, scene.disk, verified_load({"--seconds", "600"}));
    REQUIRE(scene.xl.wait_until_connected(scene.disk));
    const auto tapdisks = scene.host.tapdisks();
    for (int time = 0; time < 3; ++time)
        scene.host.replace_tapback();
    CHECK(scene.host.tapdisks() == tapdisks);
    CHECK(scene.taps().size() == 1);
    guest.interrupt();
    CHECK(guest.wait() == 0);
    scene.detach(scene.disk);
}
