// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/hotplug/hotplug.hpp"

#include "libblktap/base/error.hpp"
#include "libblktap/ipc/tapback_messages.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/thrown.hpp"
#include "tests/unit/control/hotplug_fixture.hpp"

namespace blktap::hotplug {
namespace {

using ipc::Json;
using testing::FakeTapback;
using testing::HotplugHost;
using testing::thrown;

Json done(const ipc::Request&) {
    return Json::object();
}

constexpr ipc::VbdAddress vbd = HotplugHost::vbd;
constexpr ipc::VbdAddress vbd3 = HotplugHost::vbd3;

}  // namespace

TEST_CASE("hotplug: claims, unbinds, attaches, in this order, and says that it is done", "[unit][control][xenstore]") {
    const HotplugHost host;
    std::string unbound_at_claim = "?";
    std::string unbound_at_attach = "?";
    const FakeTapback tapback([&](const ipc::Request& request) -> Json {
        (request.name == "claim" ? unbound_at_claim : unbound_at_attach) = host.unbound();
        return Json::object();
    });
    const Hotplug hotplug(host.store, {tapback.socket(), host.sysfs()});
    host.make_disk(vbd, "qcow2:/srv/a?x=y", "r");
    hotplug.add(vbd);
    CHECK(tapback.names() == "claim attach");
    CHECK(unbound_at_claim.empty());
    CHECK(unbound_at_attach == "vbd-5-51712");
    CHECK(tapback.asked().at(1).arguments.get<ipc::Attach>() ==
          ipc::Attach{vbd, {"qcow2", "/srv/a", true, {{"x", "y"}}}});
    CHECK(host.node(vbd, "hotplug-status") == "connected");
    CHECK(host.node(vbd, "hotplug-error") == "none");
    CHECK(host.node(vbd, "physical-device") == "none");  // would wake blkback
}

TEST_CASE("hotplug: a backend of type vbd3 is nobody else's to let go", "[unit][control][xenstore]") {
    const HotplugHost host;
    const FakeTapback tapback(done);
    host.make_disk(vbd3, "aio:raw:/srv/a");
    Hotplug(host.store, {tapback.socket(), host.sysfs()}).add(vbd3);
    CHECK(tapback.names() == "claim attach");
    CHECK(host.unbound().empty());
    CHECK(host.node(vbd3, "hotplug-status") == "connected");
}

TEST_CASE("hotplug: attaches to the directory that was claimed, and to no other", "[unit][control][xenstore]") {
    const HotplugHost host;
    const FakeTapback tapback([](const ipc::Request& request) -> Json {
        return request.name == "claim" ? Json{{"life", "first"}} : Json::object();
    });
    const Hotplug hotplug(host.store, {tapback.socket(), host.sysfs()});
    host.make_disk(vbd, "raw:/srv/a");
    const std::string mark = vbd.backend_path() + "/tapdisk/life";
    SECTION("which is there") {
        host.store.write(mark, "first");
        hotplug.add(vbd);
        CHECK(tapback.asked().at(1).arguments.get<ipc::Attach>().life == "first");
        CHECK(host.node(vbd, "hotplug-status") == "connected");
    }
    SECTION("or was made anew") {
        if (GENERATE(false, true)) host.store.write(mark, "second");
        CHECK_THAT(thrown([&] { hotplug.add(vbd); }).what(), Catch::Contains("removed while it was being added"));
        CHECK(tapback.names() == "claim");
        CHECK(host.unbound().empty());
        CHECK(host.node(vbd, "hotplug-status") == "none");
    }
}

TEST_CASE("hotplug: a bad target asks nobody anything", "[unit][control][xenstore]") {
    const HotplugHost host;
    const FakeTapback tapback(done);
    const Hotplug hotplug(host.store, {tapback.socket(), host.sysfs()});
    host.make_disk(vbd, "sparse/file");
    CHECK_THAT(thrown([&] { hotplug.add(vbd); }).what(), Catch::Contains("no format is named"));
    CHECK(thrown([&] { hotplug.add(vbd3); }).code() == std::errc::no_such_file_or_directory);
    CHECK(tapback.asked().empty());
    CHECK(host.unbound().empty());
}

TEST_CASE("hotplug: a disk whose image does not open stays claimed", "[unit][control][xenstore]") {
    const HotplugHost host;
    const FakeTapback tapback([](const ipc::Request& request) -> Json {
        if (request.name == "attach") throw_error(std::make_error_code(std::errc::no_such_file_or_directory), "/srv/a");
        return Json::object();
    });
    const Hotplug hotplug(host.store, {tapback.socket(), host.sysfs()});
    host.make_disk(vbd, "/srv/a");
    CHECK_THAT(thrown([&] { hotplug.add(vbd); }).what(), Catch::StartsWith("/srv/a: No such file"));
    CHECK(tapback.names() == "claim attach");
    CHECK(host.node(vbd, "hotplug-status") == "none");
}

TEST_CASE("hotplug: a disk that blkback does not let go is given back", "[unit][control][xenstore]") {
    const HotplugHost host;
    const FakeTapback tapback(done);
    std::filesystem::remove(host.unbind);
    std::filesystem::create_symlink("/dev/full", host.unbind);
    host.make_disk(vbd, "/srv/a");
    const Hotplug hotplug(host.store, {tapback.socket(), host.sysfs()});
    CHECK(thrown([&] { hotplug.add(vbd); }).code() == std::errc::no_space_on_device);
    CHECK(tapback.names() == "claim detach");
}

TEST_CASE("hotplug: never takes longer than libxl waits", "[unit][control][xenstore]") {
    const HotplugHost host;
    const testing::TemporaryDirectory directory;
    const ipc::MessageListener silent(directory.path("tapback.sock"));
    host.make_disk(vbd, "/srv/a");
    const Hotplug hotplug(host.store, {directory.path("tapback.sock"), host.sysfs(), std::chrono::milliseconds(100)});
    const auto error = thrown([&] { hotplug.add(vbd); });
    CHECK(error.code() == std::errc::timed_out);
    CHECK_THAT(error.what(), Catch::StartsWith("tapback did not answer 'claim'"));
    CHECK(HotplugPlaces{}.time_limit < std::chrono::seconds(40));
}

TEST_CASE("hotplug: writes why it failed where libxl looks", "[unit][control][xenstore]") {
    const HotplugHost host;
    const Hotplug hotplug(host.store, {"/nonexistent", host.sysfs()});
    host.make_disk(vbd, "/srv/a");
    hotplug.report_failure(vbd, std::string(5000, 'x'));
    CHECK(host.node(vbd, "hotplug-error") == std::string(1000, 'x'));
    CHECK(host.node(vbd, "hotplug-status") == "error");
}

TEST_CASE("hotplug: does not bring back a directory that libxl removed", "[unit][control][xenstore]") {
    const HotplugHost host;
    const FakeTapback tapback([&](const ipc::Request& request) -> Json {
        if (request.name == "attach") XenStore().remove(vbd.backend_path());
        return Json::object();
    });
    const Hotplug hotplug(host.store, {tapback.socket(), host.sysfs()});
    host.make_disk(vbd, "/srv/a");
    CHECK_THAT(thrown([&] { hotplug.add(vbd); }).what(), Catch::Contains("was removed while it was being added"));
    hotplug.report_failure(vbd, "why");
    CHECK(host.store.list("backend/vbd/5").empty());
}

TEST_CASE("hotplug: tapback says whose a disk is, or else its claim does", "[unit][control][xenstore]") {
    const HotplugHost host;
    bool owned = false;
    const FakeTapback tapback([&](const ipc::Request&) -> Json { return {{"owned", owned}}; });
    const Hotplug hotplug(host.store, {tapback.socket(), host.sysfs()});
    CHECK_FALSE(hotplug.is_ours(vbd));
    owned = true;
    CHECK(hotplug.is_ours(vbd));
    const Hotplug alone(host.store, {"/nonexistent", host.sysfs()});
    CHECK_FALSE(alone.is_ours(vbd));
    host.store.write(vbd.backend_path() + "/tapdisk/owner", "tapback");
    CHECK(alone.is_ours(vbd));
}

TEST_CASE("hotplug: knows of a disk what the takeover's rule asks", "[unit][control][xenstore]") {
    const HotplugHost host;
    const Hotplug hotplug(host.store, {"/nonexistent", host.sysfs()});
    host.make_disk(vbd, host.directory.make_file("a?b=c", 4096));
    host.store.write("/libxl/5/type", "hvm");
    PlainDisk disk = hotplug.describe(vbd);
    CHECK(disk.params == host.directory.path("a?b=c"));
    CHECK(disk.kernel_kind);
    CHECK(disk.regular_file);
    CHECK(disk.direct_io);
    CHECK(disk.domain == 5);
    CHECK(disk.guest_type == "hvm");
    CHECK_FALSE(disk.device_model);

    host.store.write("/local/domain/5/target", "4");
    host.store.remove("/libxl/5/type");
    host.store.write(vbd.backend_path() + "/params", "/proc/version");  // a file that cannot be read directly
    disk = hotplug.describe(vbd);
    CHECK(disk.regular_file);
    CHECK_FALSE(disk.direct_io);
    CHECK(disk.device_model);
    CHECK_FALSE(disk.guest_type);

    host.store.write(vbd.backend_path() + "/params", "/dev/null");
    CHECK_FALSE(hotplug.describe(vbd).regular_file);
    CHECK_FALSE(hotplug.describe(vbd3).kernel_kind);
}

}  // namespace blktap::hotplug
