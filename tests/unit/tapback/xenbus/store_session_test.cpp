// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// StoreSession with Debian's own xenstored, which is killed and started again.
#include "control/tapback/xenbus/store_session.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/xenstored.hpp"

using namespace blktap;
using namespace blktap::tapback;

namespace {

struct StoreSessionMachine {
    std::string take() {
        // Events come a moment after the write that they tell of was answered.
        for (int i = 0; i < 200 && told.empty(); ++i) {
            loop.run_once(std::chrono::milliseconds(10));
            session.take_events();
        }
        return std::exchange(told, "");
    }
    void forget_events() {
        for (int i = 0; i < 20; ++i) {
            loop.run_once(std::chrono::milliseconds(5));
            session.take_events();
        }
        told.clear();
    }
    void restart_store() {
        xenstored.kill();
        session.tick();
        xenstored.start();
        session.tick();
    }

    testing::Xenstored xenstored{};
    MonotonicClock clock{};
    EventLoop loop{clock};
    std::string told{};
    std::string connections{};
    bool all_seen = true;
    bool fails = false;
    StoreSession session{
        loop,
        {.found =
             [this](bool remembers) {
                 connections += remembers ? "found " : "anew ";
                 if (fails) throw_error(std::make_error_code(std::errc::io_error), "a scan");
             },
         .lost = [this] { connections += "lost "; },
         .all_seen = [this] { return all_seen; },
         .domains_changed = [this] { told += "domains "; },
         .frontend_changed = [this](const ipc::VbdAddress& vbd) { told += "frontend " + vbd.name() + ' '; },
         .backend_changed = [this](const ipc::BackendNode& node) { told += node.vbd.name() + '/' + node.below + ' '; },
         .directory_changed = [this](const std::string& path) { told += path + ' '; }}};
};

}  // namespace

TEST_CASE("store session: an event is told as what it means for disks", "[unit][tapback]") {
    StoreSessionMachine t;
    t.session.connect();
    t.forget_events();
    const XenStore& store = t.session.require();
    store.write("backend/vbd3/5/51712/state", "1");
    CHECK(t.take() == "5/51712/state ");
    store.watch("/local/domain/5/device/vbd/51712/state", "backend/vbd3/5/51712");
    CHECK(t.take() == "frontend 5/51712 ");
    store.remove("backend/vbd3/5");
    CHECK_THAT(t.take(), Catch::Contains("backend/vbd3/5"));
    t.forget_events();
    t.xenstored.introduce(5);
    t.xenstored.release(5);
    CHECK(t.take() == "domains ");
}

TEST_CASE("store session: one that remembers is told from one that began anew", "[unit][tapback]") {
    StoreSessionMachine t;
    CHECK(t.session.store() == nullptr);
    t.session.connect();
    CHECK(t.connections == "anew ");
    // The next tapback finds the mark.
    {
        StoreSession next{t.loop, {.found = [&](bool remembers) { t.connections += remembers ? "found " : "anew "; }}};
        next.connect();
    }
    CHECK(t.connections == "anew found ");
    t.restart_store();
    CHECK(t.connections == "anew found lost anew ");
    CHECK(t.session.store() != nullptr);
}

TEST_CASE("store session: a xenstored that began anew is not marked before every disk was seen", "[unit][tapback]") {
    StoreSessionMachine t;
    t.all_seen = false;
    t.session.connect();
    CHECK_FALSE(t.session.require().read("/tool/tapback").has_value());
    t.session.tick();
    CHECK_FALSE(t.session.require().read("/tool/tapback").has_value());
    t.all_seen = true;
    t.session.tick();
    CHECK(t.session.require().read("/tool/tapback").has_value());
}

TEST_CASE("store session: while xenstored is away there is no store, and what asks for one is told",
          "[unit][tapback]") {
    StoreSessionMachine t;
    t.session.connect();
    CHECK_FALSE(t.session.check_lost());
    t.xenstored.kill();
    CHECK(t.session.check_lost());
    CHECK(t.session.check_lost());
    CHECK(t.connections == "anew lost ");
    CHECK_THROWS_AS(t.session.require(), std::system_error);
    t.session.take_events();
    t.session.tick();  // nobody is there yet
    CHECK(t.session.store() == nullptr);
}

TEST_CASE("store session: a connection whose disks could not be looked through is begun again", "[unit][tapback]") {
    StoreSessionMachine t;
    t.fails = true;
    t.session.connect();
    CHECK(t.session.store() == nullptr);
    CHECK(t.connections == "anew lost ");
    t.fails = false;
    t.session.tick();
    CHECK(t.connections == "anew lost anew ");
    CHECK(t.session.store() != nullptr);
}
