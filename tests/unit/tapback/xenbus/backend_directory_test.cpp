// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// BackendDirectory with Debian's own xenstored.
#include "control/tapback/xenbus/backend_directory.hpp"

#include "control/tapback/xenbus/backend_nodes.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/xenstored.hpp"

using namespace blktap;
using namespace blktap::tapback;

namespace {

using Seen = BackendDirectory::Seen;

bool take_it(const StoreNodes&) {
    return true;
}
bool leave_it(const StoreNodes&) {
    return false;
}

struct DirectoryHost {
    static constexpr const char* frontend = "/local/domain/5/device/vbd/51712";

    explicit DirectoryHost(ipc::VbdAddress::Kind kind = ipc::VbdAddress::Kind::vbd3) : address{kind, 5, 51712} {
        session.connect();
        make();
    }
    /// As a toolstack does: whatever was there goes.
    void make() const {
        store().transact([this](const StoreTransaction& nodes) {
            nodes.remove(path());
            nodes.write(path() + "/frontend", frontend);
            nodes.write(path() + "/state", "1");
        });
    }
    std::string path() const { return address.backend_path(); }
    std::string read(const std::string& name) const { return store().read(path() + '/' + name).value_or("none"); }
    void write(const std::string& name, const std::string& value) const { store().write(path() + '/' + name, value); }
    const XenStore& store() const { return session.require(); }
    BackendDirectory directory(const std::string& life = "") const { return {session, address, life}; }
    /// What a disk writes at different times; whether any of it was written.
    bool writes(BackendDirectory& it) const {
        const bool wrote = it.transact([&](const StoreTransaction& nodes) { nodes.write(it.node("state"), "6"); });
        it.write_status("connected");
        it.write_hotplug_error("no");
        const bool seen = read("state") == "6" || read("tapdisk/status") != "none" || read("hotplug-error") != "none";
        CHECK(wrote == seen);
        return wrote;
    }

    ipc::VbdAddress address;
    testing::Xenstored xenstored{};
    MonotonicClock clock{};
    EventLoop loop{clock};
    StoreSession session{loop, {.found = [](bool) {}, .lost = [] {}, .all_seen = [] { return true; }}};
};

}  // namespace

TEST_CASE("backend directory: one without a mark is marked when it is taken, and known by that", "[unit][tapback]") {
    const DirectoryHost t;
    auto first = t.directory();
    CHECK(first.life().empty());
    CHECK_FALSE(t.writes(first));
    CHECK(first.look(take_it) == Seen::there);
    CHECK(first.frontend() == t.frontend);
    CHECK(first.life().size() == 32);
    CHECK(t.read("tapdisk/life") == first.life());
    CHECK(first.look(leave_it) == Seen::there);
    auto next = t.directory(first.life());
    CHECK(next.look(leave_it) == Seen::there);
    // A disk without a record.
    auto other = t.directory();
    CHECK(other.look(take_it) == Seen::there);
    CHECK(other.life() == first.life());
    CHECK(t.writes(first));
}

TEST_CASE("backend directory: one that was made anew is another, for good, and is not written", "[unit][tapback]") {
    const DirectoryHost t;
    auto old = t.directory();
    CHECK(old.look(take_it) == Seen::there);
    old.write_hotplug_error("an image that cannot be");
    t.make();
    SECTION("seen without a mark") {
        CHECK_FALSE(t.writes(old));
        CHECK(old.look(take_it) == Seen::gone);
        CHECK(old.is_replaced());
    }
    SECTION("seen with the next disk's mark") {
        auto next = t.directory();
        CHECK(next.look(take_it) == Seen::there);
        CHECK_FALSE(next.life() == old.life());
        CHECK_FALSE(t.writes(old));
        t.write("hotplug-error", "the next disk's");
        old.remove_hotplug_error();
        CHECK(t.read("hotplug-error") == "the next disk's");
        t.store().remove(t.path() + "/hotplug-error");
        CHECK(old.look(take_it) == Seen::gone);
    }
    SECTION("seen gone first") {
        t.store().remove(t.path());
        CHECK(old.look(take_it) == Seen::gone);
        CHECK_FALSE(old.is_replaced());
        t.make();
        CHECK(old.look(take_it) == Seen::gone);
        CHECK(old.is_replaced());
    }
    // Even if the mark comes back.
    t.write("tapdisk/life", old.life());
    CHECK(old.is_gone());
    CHECK(old.look(take_it) == Seen::gone);
    CHECK_FALSE(t.writes(old));
}

TEST_CASE("backend directory: one of whose mark nothing is known is taken only where it may be", "[unit][tapback]") {
    const DirectoryHost t;
    auto refused = t.directory();
    CHECK(refused.look(leave_it) == Seen::gone);
    CHECK(refused.is_replaced());
    CHECK(t.read("tapdisk/life") == "none");
}

TEST_CASE("backend directory: of backend/vbd it is ours while it bears our claim", "[unit][tapback]") {
    const DirectoryHost t(ipc::VbdAddress::Kind::vbd);
    t.write("tapdisk/owner", "tapback");
    auto ours = t.directory();
    CHECK(ours.look(take_it) == Seen::there);
    CHECK(t.writes(ours));
    t.write("tapdisk/owner", "another");
    t.write("state", "1");
    CHECK_FALSE(ours.transact([&](const StoreTransaction& nodes) { nodes.write(ours.node("state"), "6"); }));
    CHECK(ours.look(take_it) == Seen::gone);
    CHECK(t.directory().look(take_it) == Seen::gone);
}

TEST_CASE("backend directory: what a xenstored that began anew does not have is not known", "[unit][tapback]") {
    DirectoryHost t;
    auto it = t.directory();
    CHECK(it.look(take_it) == Seen::there);
    it.write_status("connected");
    t.xenstored.kill();
    t.session.tick();
    it.store_lost();
    t.xenstored.start();
    t.session.tick();
    CHECK(it.look(take_it) == Seen::unknown);
    // Somebody writes the nodes again, one after the other.
    t.make();
    CHECK(it.look(take_it) == Seen::unknown);
    t.store().write(std::string(t.frontend) + "/state", "4");
    CHECK(it.look(take_it) == Seen::unknown);
    CHECK(it.is_store_lost());
    SECTION("until it is seen with its mark") {
        t.write("tapdisk/life", it.life());
        CHECK(it.look(take_it) == Seen::there);
        CHECK_FALSE(it.is_store_lost());
        it.write_status("connected");
        CHECK(t.read("tapdisk/status") == "connected");
    }
    SECTION("or with another's") {
        t.write("tapdisk/life", new_life());
        CHECK(it.look(take_it) == Seen::gone);
        CHECK_FALSE(it.is_store_lost());
    }
}
