// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// On a root of its own, with a script in the place of Xen's.
#include "control/tap_ctl/takeover.hpp"

#include <filesystem>
#include <fstream>
#include <sys/stat.h>

#include "control/tap_ctl/sha256.hpp"
#include "libblktap/ipc/tapback_messages.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/places.hpp"
#include "tests/support/process.hpp"
#include "tests/support/thrown.hpp"
#include "tests/unit/control/tap_ctl_fixture.hpp"

namespace blktap::tap_ctl {
namespace {

namespace fs = std::filesystem;
using testing::read_file;
using testing::thrown;

const std::string xen_script = "#!/bin/bash\n# Xen's\nexit 0";  // no newline at its end: byte for byte

struct Host {
    Host() {
        fs::create_directories(scripts);
        fs::create_directories(fs::path(files.wrapper).parent_path());
        fs::copy_file(BLKTAP_SOURCE_DIR "/control/hotplug/block-wrapper", files.wrapper);
        write(block, xen_script);
        write(scripts + "/block-tapdisk", "");
        fs::permissions(scripts + "/block-tapdisk", fs::perms::owner_all);
    }

    static void write(const std::string& path, const std::string& text) {
        std::ofstream(path, std::ios::trunc) << text;
        fs::permissions(path, fs::perms(0750));
    }
    /// Replaces the script as dpkg does: another file under the same name.
    void upgrade(const std::string& text) const {
        write(block + ".dpkg-new", text);
        fs::rename(block + ".dpkg-new", block);
    }
    std::size_t files_beside() const {
        return static_cast<std::size_t>(std::distance(fs::directory_iterator(scripts), fs::directory_iterator()));
    }

    testing::TemporaryDirectory root;
    TakeoverFiles files = TakeoverFiles::under(root.path(""));
    std::string scripts = files.scripts;
    std::string block = scripts + "/block";
    std::string block_xen = scripts + "/block.xen";
    Takeover takeover{files};
};

struct stat status_of(const std::string& path) {
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return status;
}

}  // namespace

TEST_CASE("takeover: puts the wrapper in place and Xen's script back, byte for byte", "[unit][control]") {
    const Host host;
    const struct stat before = status_of(host.block);
    CHECK(host.takeover.state() == TakeoverState::disabled);
    CHECK(host.takeover.enable());
    CHECK(host.takeover.state() == TakeoverState::enabled);
    CHECK(read_file(host.block) == read_file(host.files.wrapper));
    CHECK((status_of(host.block).st_mode & 07777) == 0755);
    CHECK(read_file(host.block_xen) == xen_script);
    CHECK(read_file(host.files.record) == sha256(xen_script) + "  " + host.block_xen + "\n");
    CHECK_FALSE(host.takeover.enable());

    CHECK(host.takeover.disable());
    CHECK(host.takeover.state() == TakeoverState::disabled);
    CHECK(read_file(host.block) == xen_script);
    const struct stat after = status_of(host.block);
    CHECK(after.st_ino == before.st_ino);
    CHECK(after.st_mode == before.st_mode);
    CHECK(after.st_mtime == before.st_mtime);
    CHECK(host.files_beside() == 2);
    CHECK_FALSE(fs::exists(host.files.record));
    CHECK_FALSE(host.takeover.disable());
}

TEST_CASE("takeover: notices that an upgrade put Xen's script back, and enables again", "[unit][control]") {
    const Host host;
    host.takeover.enable();
    host.upgrade("#!/bin/bash\n# newer\n");
    CHECK(host.takeover.state() == TakeoverState::replaced);
    SECTION("enabled again") {
        CHECK(host.takeover.enable());
        CHECK(host.takeover.state() == TakeoverState::enabled);
        CHECK(read_file(host.block_xen) == "#!/bin/bash\n# newer\n");
        host.takeover.disable();
    }
    SECTION("or cleaned up") {
        CHECK(host.takeover.disable());
    }
    CHECK(host.takeover.state() == TakeoverState::disabled);
    CHECK(read_file(host.block) == "#!/bin/bash\n# newer\n");
    CHECK(host.files_beside() == 2);
}

TEST_CASE("takeover: no script that was not recorded is ever lost", "[unit][control]") {
    const Host host;
    host.takeover.enable();
    Host::write(host.block_xen, "edited by hand");
    CHECK(host.takeover.state() == TakeoverState::changed);
    CHECK(thrown([&] { host.takeover.enable(); }).code() == std::errc::operation_not_permitted);
    SECTION("it is put back as it is") {
        CHECK(host.takeover.disable());
        CHECK(read_file(host.block) == "edited by hand");
    }
    SECTION("it survives an upgrade") {
        host.upgrade("#!/bin/bash\n# newer\n");
        CHECK(host.takeover.state() == TakeoverState::replaced);
        CHECK(thrown([&] { host.takeover.enable(); }).code() == std::errc::file_exists);
        CHECK(thrown([&] { host.takeover.disable(); }).code() == std::errc::file_exists);
        CHECK(read_file(host.block_xen) == "edited by hand");
        CHECK(read_file(host.block) == "#!/bin/bash\n# newer\n");
    }
}

TEST_CASE("takeover: what was interrupted is finished by asking again", "[unit][control]") {
    const Host host;
    fs::create_hard_link(host.block, host.block_xen);  // enable() after its first step
    CHECK(host.takeover.state() == TakeoverState::interrupted);
    SECTION("forward") {
        CHECK(host.takeover.enable());
        CHECK(host.takeover.state() == TakeoverState::enabled);
        CHECK(read_file(host.block_xen) == xen_script);
        CHECK(host.files_beside() == 3);
    }
    SECTION("back") {
        CHECK(host.takeover.disable());
        CHECK(host.takeover.state() == TakeoverState::disabled);
        CHECK(read_file(host.block) == xen_script);
        CHECK(host.files_beside() == 2);
    }
}

TEST_CASE("takeover: a wrapper of another version is renewed", "[unit][control]") {
    const Host host;
    host.takeover.enable();
    Host::write(host.files.wrapper, read_file(host.files.wrapper) + "# newer\n");
    CHECK(host.takeover.state() == TakeoverState::outdated);
    CHECK(host.takeover.enable());
    CHECK(host.takeover.state() == TakeoverState::enabled);
    CHECK(read_file(host.block_xen) == xen_script);
}

TEST_CASE("takeover: refuses what it could not undo", "[unit][control]") {
    const Host host;
    SECTION("there is no script of Xen's") {
        fs::remove(host.block);
        CHECK(host.takeover.state() == TakeoverState::no_script);
        CHECK_THAT(thrown([&] { host.takeover.enable(); }).what(), Catch::Contains("is Xen installed?"));
    }
    SECTION("block-tapdisk is not installed") {
        fs::remove(host.scripts + "/block-tapdisk");
        CHECK_THAT(thrown([&] { host.takeover.enable(); }).what(), Catch::Contains("block-tapdisk"));
        CHECK(host.takeover.state() == TakeoverState::disabled);
    }
    SECTION("the wrapper is not installed") {
        fs::remove(host.files.wrapper);
        CHECK(thrown([&] { host.takeover.enable(); }).code() == std::errc::no_such_file_or_directory);
        CHECK(read_file(host.block) == xen_script);
        CHECK(host.takeover.disable());
    }
    SECTION("block.xen is gone") {
        host.takeover.enable();
        fs::remove(host.block_xen);
        CHECK(host.takeover.state() == TakeoverState::lost);
        CHECK_THAT(thrown([&] { host.takeover.disable(); }).what(), Catch::Contains("put it back"));
        CHECK(fs::exists(host.block));
    }
    SECTION("a block.xen of somebody else's") {
        Host::write(host.block_xen, "somebody's");
        CHECK(thrown([&] { host.takeover.enable(); }).code() == std::errc::file_exists);
        CHECK(read_file(host.block_xen) == "somebody's");
    }
}

TEST_CASE("takeover: the command says how it stands, and fails when something has to be done", "[unit][control]") {
    const Host host;
    const testing::TapCtl tap_ctl("/nonexistent/tapback.sock");
    const auto run = [&](const char* verb) { return tap_ctl.run({"takeover", verb, "--root", host.root.path("")}); };
    CHECK_THAT(run("status").out, Catch::StartsWith("disabled: "));
    CHECK_THAT(run("enable").out, Catch::StartsWith("enabled: "));
    CHECK_THAT(run("enable").out, Catch::StartsWith("already enabled: "));
    CHECK(run("status").status == 0);

    Host::write(host.block + ".dpkg-dist", "#!/bin/bash\n# newer\n");
    const auto waits = run("status");
    CHECK(waits.status == 1);
    CHECK_THAT(waits.out, Catch::Contains("newer script in " + host.block + ".dpkg-dist"));
    fs::remove(host.block + ".dpkg-dist");

    host.upgrade(xen_script + "\n");
    const auto replaced = tap_ctl.run({"takeover", "status", "--root", host.root.path(""), "--json"});
    CHECK(replaced.status == 1);
    CHECK(ipc::Json::parse(replaced.out).at("state") == "replaced");
    CHECK_THAT(run("disable").out, Catch::StartsWith("disabled: "));
}

TEST_CASE("takeover: disable says which disks go on", "[unit][control]") {
    const Host host;
    host.takeover.enable();
    std::size_t taken = 2;
    const testing::FakeTapback tapback([&](const ipc::Request& request) -> ipc::Json {
        if (request.name != "list") throw_error(Errc::unknown_request, request.name);
        ipc::ListResult result;
        for (std::uint32_t domain = 5; domain < 9; ++domain) {
            ipc::VbdEntry& vbd = result.vbds.emplace_back();
            vbd.backend = {ipc::VbdAddress::Kind::vbd, static_cast<std::uint16_t>(domain), 51712};
            vbd.state = "connected";
            vbd.takeover = domain < 5 + taken;
        }
        return result;
    });
    const auto run = [&](const std::string& socket, std::vector<std::string> words) {
        words.insert(words.begin(), {"takeover", "disable", "--root", host.root.path("")});
        return testing::TapCtl(socket).run(words).out;
    };
    CHECK_THAT(run(tapback.socket(), {}), Catch::StartsWith("disabled: ") &&
                                              Catch::Contains("2 disks (5/51712, 6/51712) of plain disk lines") &&
                                              Catch::Contains("until they are detached"));
    CHECK(ipc::Json::parse(run(tapback.socket(), {"--json"})).at("on-tapdisk") == ipc::Json{"5/51712", "6/51712"});
    taken = 0;
    CHECK_THAT(run(tapback.socket(), {}), !Catch::Contains("of plain disk lines"));
    CHECK_THAT(run("/nonexistent/tapback.sock", {}), Catch::Contains("tapback does not say which disks"));
}

}  // namespace blktap::tap_ctl
