// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// block-tapdisk and the wrapper as programs, run as libxl runs them.
#include <fstream>

#include "libblktap/base/clock.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/ipc/tapback_messages.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/places.hpp"
#include "tests/unit/control/hotplug_fixture.hpp"

namespace blktap::hotplug {
namespace {

namespace fs = std::filesystem;
using ipc::Json;
using testing::FakeTapback;
using testing::HotplugHost;
using testing::read_file;

constexpr ipc::VbdAddress vbd = HotplugHost::vbd;
constexpr const char* program = BLKTAP_BIN_DIR "/block-tapdisk";

/// Answers every request with success; owns claimed disks.
class Yes {
  public:
    Json operator()(const ipc::Request& request) {
        if (request.name == "claim") owned_ = true;
        return request.name == "owner" ? Json{{"owned", owned_}} : Json::object();
    }

  private:
    bool owned_ = false;
};

struct Scripts : HotplugHost {
    explicit Scripts(FakeTapback::Answer answer = Yes()) : tapback(std::move(answer)) {}

    int run(const std::vector<std::string>& command, const std::string& path = vbd.backend_path()) const {
        const testing::ProcessOptions options{
            .environment = {"XENBUS_PATH=" + path, "XENBUS_TYPE=vbd", "XENBUS_BASE_PATH=backend",
                            "TAPBACK_SOCKET=" + socket, "TAPDISK_SYSFS=" + sysfs()},
            .output = output};
        return testing::run(command, options, std::chrono::seconds(60));
    }

    FakeTapback tapback;
    std::string socket = tapback.socket();
    std::string output = directory.path("output");
};

/// /etc/xen/scripts with the takeover enabled, and a script in place of Xen's that prints its arguments.
struct TakenOver : Scripts {
    TakenOver() {
        fs::create_directory(scripts);
        fs::copy_file(BLKTAP_SOURCE_DIR "/control/hotplug/block-wrapper", scripts + "/block");
        fs::create_symlink(program, scripts + "/block-tapdisk");
        std::ofstream(scripts + "/block.xen") << "#!/bin/sh\necho \"xen: $*\"\n";
        fs::permissions(scripts + "/block.xen", fs::perms::owner_all);
    }
    int block(const char* verb) const { return run({scripts + "/block", verb}); }

    std::string scripts = directory.path("scripts");
};

}  // namespace

TEST_CASE("block-tapdisk: adds and removes a disk, quickly", "[unit][control][xenstore]") {
    const Scripts host;
    host.make_disk(vbd, "raw:/srv/a.img");
    const MonotonicClock clock;
    const Nanoseconds before = clock.now();
    CHECK(host.run({program, "add"}) == 0);
    CHECK(clock.now() - before < std::chrono::seconds(1));
    CHECK(host.node(vbd, "hotplug-status") == "connected");
    CHECK(host.run({program, "remove"}) == 0);
    CHECK(host.tapback.names() == "claim attach detach");
    CHECK(read_file(host.output).empty());
}

TEST_CASE("block-tapdisk: says why it failed to xl's user and to libxl", "[unit][control][xenstore]") {
    const Scripts host([](const ipc::Request& request) -> Json {
        if (request.name == "claim") return Json::object();
        throw_error(std::make_error_code(std::errc::device_or_resource_busy), "/srv/a.img is in use by process 12");
    });
    host.make_disk(vbd, "/srv/a.img");
    CHECK(host.run({program, "add"}) == 1);
    CHECK_THAT(read_file(host.output),
               Catch::StartsWith("block-tapdisk: disk 5/51712: /srv/a.img is in use by process 12: "));
    CHECK_THAT(host.node(vbd, "hotplug-error"), Catch::StartsWith("/srv/a.img is in use by process 12: "));
    CHECK(host.node(vbd, "hotplug-status") == "error");
}

TEST_CASE("block-tapdisk: without tapback a disk is not added, and removing one is no error",
          "[unit][control][xenstore]") {
    Scripts host;
    host.socket = "/nonexistent/tapback.sock";
    host.make_disk(vbd, "/srv/a.img");
    CHECK(host.run({program, "add"}) == 1);
    CHECK_THAT(host.node(vbd, "hotplug-error"), Catch::StartsWith("tapback is not running: /nonexistent/tapback.sock"));
    CHECK(host.unbound().empty());
    CHECK(host.run({program, "remove"}) == 0);
}

TEST_CASE("block-tapdisk: serves many disks at once", "[unit][control][xenstore]") {
    const Scripts host;
    std::vector<testing::Process> running;
    for (std::uint32_t device = 0; device < 30; ++device) {
        const ipc::VbdAddress address{ipc::VbdAddress::Kind::vbd3, 5, device};
        host.make_disk(address, "/srv/" + std::to_string(device));
        running.emplace_back(std::vector<std::string>{program, "add"},
                             testing::ProcessOptions{.environment = {"XENBUS_PATH=" + address.backend_path(),
                                                                     "TAPBACK_SOCKET=" + host.socket}});
    }
    for (auto& process : running)
        CHECK(process.wait(std::chrono::seconds(60)) == 0);
    for (std::uint32_t device = 0; device < 30; ++device)
        CHECK(host.node({ipc::VbdAddress::Kind::vbd3, 5, device}, "hotplug-status") == "connected");
}

TEST_CASE("block-tapdisk: wrong usage is said and does nothing", "[unit][control][xenstore]") {
    const Scripts host;
    CHECK(host.run({program}) == 2);
    CHECK(host.run({program, "fly"}) == 2);
    CHECK(host.run({program, "add"}, "backend/qdisk/5/51712") == 2);
    CHECK(host.run({program, "add"}, "") == 2);
    CHECK(host.run({program, "add"}, "backend/vbd/5/51712/state") == 2);
    CHECK(host.tapback.asked().empty());
}

TEST_CASE("block wrapper: a file of a PV guest goes to tapdisk and comes back from it", "[unit][control][xenstore]") {
    const TakenOver host;
    host.store.write("/libxl/5/type", "pv");
    // Text that would be options after a format is part of a plain path.
    const std::string image = host.directory.make_file("disk?size=1G&x=%20", 4096);
    host.make_disk(vbd, image);
    CHECK(host.block("add") == 0);
    CHECK(host.block("remove") == 0);
    CHECK(host.tapback.names() == "claim attach owner detach");
    CHECK(host.tapback.asked().at(1).arguments.get<ipc::Attach>().image ==
          ipc::ImageArguments{"raw", image, false, {}});
    CHECK(read_file(host.output).empty());
}

TEST_CASE("block wrapper: everything else is Xen's", "[unit][control][xenstore]") {
    const TakenOver host;
    const std::string image = host.directory.make_file("disk", 4096);
    const auto [type, params] = GENERATE_COPY(table<std::string, std::string>({
        {"hvm", image},
        {"pv", "/dev/null"},
        {"pv", "/nonexistent"},
        {"pv", "disk"},
    }));
    host.store.write("/libxl/5/type", type);
    host.make_disk(vbd, params);
    CHECK(host.block("add") == 0);
    CHECK(host.block("remove") == 0);
    CHECK(host.block("status") == 0);
    CHECK(read_file(host.output) == "xen: add\nxen: remove\nxen: status\n");
    CHECK(host.unbound().empty());
}

TEST_CASE("block wrapper: a disk that tapdisk fails to open is not tried with the kernel",
          "[unit][control][xenstore]") {
    TakenOver host;
    host.socket = "/nonexistent/tapback.sock";
    host.store.write("/libxl/5/type", "pvh");
    host.make_disk(vbd, host.directory.make_file("disk", 4096));
    CHECK(host.block("add") == 1);
    CHECK_THAT(read_file(host.output), Catch::Contains("tapback is not running") && !Catch::Contains("xen:"));
}

}  // namespace blktap::hotplug
