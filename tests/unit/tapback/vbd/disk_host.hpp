// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The surroundings of a tapback disk, for tests. StoreHost: Debian's own xenstored, where the test is toolstack and
// guest, and tapdisks that answer when the test says so. DiskHost: the parts of a disk without the Vbd that joins them;
// the test tells each part what has changed.
#pragma once

#include <optional>
#include <string>

#include "control/tapback/session/disk_session.hpp"
#include "control/tapback/vbd/disk_situation.hpp"
#include "control/tapback/vbd/disk_status.hpp"
#include "control/tapback/xenbus/frontend_link.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/xenstored.hpp"
#include "tests/unit/tapback/session/fake_tapdisk.hpp"

namespace blktap::tapback {

struct StoreHost {
    using Kind = ipc::VbdAddress::Kind;
    static constexpr const char* frontend = "/local/domain/5/device/vbd/51712";

    /// The toolstack has made the nodes of the disk 5/51712.
    explicit StoreHost(Kind kind = Kind::vbd3) : address{kind, 5, 51712} {
        store_session.connect();
        make_directory();
    }
    StoreHost(const StoreHost&) = delete;
    StoreHost& operator=(const StoreHost&) = delete;

    const XenStore& store() const { return store_session.require(); }
    std::string backend(const std::string& name) const { return address.backend_path() + '/' + name; }
    std::string node(const std::string& name) const { return store().read(backend(name)).value_or("none"); }
    void write_backend(const std::string& name, const std::string& value) const { store().write(backend(name), value); }
    void write_frontend(const std::string& name, const std::string& value) const {
        store().write(std::string(frontend) + '/' + name, value);
    }
    /// As a toolstack does: whatever was there goes.
    void make_directory() const {
        store().transact([this](const StoreTransaction& nodes) {
            nodes.remove(address.backend_path());
            for (const auto& [name, value] :
                 {std::pair{"frontend", frontend}, {"online", "1"}, {"state", "1"}, {"mode", "w"}})
                nodes.write(backend(name), value);
            if (address.kind == Kind::vbd) nodes.write(backend("tapdisk/owner"), "tapback");
            nodes.write(std::string(frontend) + "/state", "1");
        });
    }
    /// What a guest writes of its rings.
    void write_keys() const {
        write_frontend("ring-ref", "8");
        write_frontend("event-channel", "3");
        write_frontend("protocol", "x86_64-abi");
        write_frontend("state", "3");
    }
    FakeTapdisk& tapdisk() const { return *tapdisks.last; }
    void turn(Nanoseconds time) {
        clock.advance(time);
        loop.run_once(Nanoseconds{0});
    }

    const ipc::VbdAddress address;
    testing::Xenstored xenstored{};
    testing::TemporaryDirectory files_directory{};
    ManualClock clock{};
    EventLoop loop{clock};
    FakeTapdisks tapdisks{};
    /// No disk has files here.
    ImageFiles files{loop, {{"/"}, {}}, []() -> ipc::MessageSocket { throw_error(Errc::wrong_state, "storage"); }};
    ProblemHook problem_hook{loop, ""};
    StoreSession store_session{loop, {.found = [](bool) {}, .lost = [] {}, .all_seen = [] { return true; }}};
    const ipc::Json device = ipc::DeviceDescription{.size_sectors = 8};
};

struct DiskHost : StoreHost {
    /// A disk that has seen its nodes once.
    explicit DiskHost(Kind kind = Kind::vbd3) : StoreHost(kind) { situation.observe(); }

    /// Starts a tapdisk, which has the image open.
    void open_image() {
        session.start({"raw", "/images/a", false, {{"buffered", "yes"}}}, [](const auto&) {});
        tapdisk().answer(device);
        tapdisk().answer(ipc::Problems{});
        situation.gather();
    }
    /// And the guest's rings.
    void connect() {
        write_keys();
        see_all();
        REQUIRE(link.connect([](const auto&) { return true; }));
        tapdisk().answer(device);
        link.published();
        situation.gather();
        REQUIRE(situation.now().link == Situation::Link::up);
    }
    void see_all() {
        situation.all_changed();
        situation.observe();
    }
    std::string status_node() const { return node("tapdisk/status"); }

    std::string recovery_log = files_directory.path("recovery");
    std::string run_directory = files_directory.path("");
    int lives_known = 0;
    BackendDirectory directory{store_session, address, ""};
    DiskSession session{{loop, tapdisks, files, run_directory},
                        {address.name(), address.file_name() + ".sock", true},
                        {.changed = [] {},
                         .write_record = [] {},
                         .try_to_record = [] {},
                         .remove_record = [] {},
                         .problem = [this](const auto& problem) { status.set_problem(problem); },
                         .may_revive = [] { return false; },
                         .opened = [this] { status.image_opened(); },
                         .found = [](bool, bool) {},
                         .problems = [](const auto&) {},
                         .ended = [](auto) {}}};
    FrontendLink link{{store_session, tapdisks, recovery_log},
                      address,
                      directory,
                      session,
                      {.changed = [] {},
                       .changed_later = [] {},
                       .write_record = [] {},
                       .try_to_record = [] {},
                       .problem = [this](const auto& problem) { status.set_problem(problem); },
                       .when_io_is_over = [](const auto& then) { then(); }}};
    DiskStatus status{{loop, problem_hook, store_session}, address, directory, session, [] {}};
    DiskSituation situation{{store_session, directory, link, session, status}, address, [this] { ++lives_known; }};
};

}  // namespace blktap::tapback
