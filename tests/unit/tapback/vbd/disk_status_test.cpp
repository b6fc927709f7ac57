// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vbd/disk_status.hpp"

#include "tests/unit/tapback/vbd/disk_host.hpp"

using namespace blktap;
using namespace blktap::tapback;
using Catch::Contains;
using Link = Situation::Link;
using Tapdisk = Situation::Tapdisk;

TEST_CASE("disk status: a disk is named by the thing that it waits for", "[unit][tapback]") {
    const Situation fresh{.backend = Xenbus::init_wait, .tapdisk = Tapdisk::none, .link = Link::none};
    const auto name = [&](auto change, const Serving& serving = {}) {
        Situation now = fresh;
        change(now);
        return describe(now, serving);
    };
    const auto with = [](Tapdisk tapdisk, Link link = Link::none) {
        return [=](Situation& now) {
            now.tapdisk = tapdisk;
            now.link = link;
        };
    };
    CHECK(name(with(Tapdisk::none)) == "waiting for the image");
    CHECK(name(with(Tapdisk::none), {.has_image = true}) == "held");
    CHECK(name(with(Tapdisk::starting)) == "opening the image");
    CHECK(name(with(Tapdisk::ending)) == "closing the image");
    CHECK(name(with(Tapdisk::open)) == "waiting for the guest");
    CHECK(name(with(Tapdisk::open), {.is_paced = true}) == "waiting, because its guest reconnects too often");
    CHECK(name(with(Tapdisk::open, Link::busy)) == "connecting or disconnecting");
    CHECK(name(with(Tapdisk::open, Link::up), {.is_paced = true}) == "connected");
}

TEST_CASE("disk status: what hinders a disk goes before what it does", "[unit][tapback]") {
    Situation now{.backend = Xenbus::connected, .tapdisk = Tapdisk::open, .link = Link::up};
    CHECK(describe(now, {}) == "connected");
    now.frontend = Xenbus::closing;
    CHECK(describe(now, {}) == "closing");
    now.frontend = Xenbus::connected;
    now.paused = true;
    CHECK(describe(now, {}) == "paused");
    now.backend = Xenbus::closed;
    CHECK(describe(now, {}) == "closed");
    CHECK(describe(now, {.session = Session::lost}) == "unreachable");
    CHECK(describe(now, {.is_cut_off = true}) == "unreachable");
    now.tapdisk = Tapdisk::ending;  // its connection goes before its process
    CHECK(describe(now, {.is_cut_off = true}) == "closed");
}

TEST_CASE("disk status: a problem is written at once, and another state by and by", "[unit][tapback]") {
    DiskHost t;
    CHECK_FALSE(t.status.write_problems(t.situation.now()));
    CHECK(t.status_node() == "none");
    t.status.write(t.situation.now());
    CHECK(t.status_node() == "waiting for the image");
    CHECK(t.status.write_problems(t.situation.now()));  // nothing is left to tell
    CHECK(t.status.set_problem("no such file"));
    CHECK_FALSE(t.status.set_problem("no such file"));
    CHECK(t.status.write_problems(t.situation.now()));
    CHECK(t.status_node() == "waiting for the image: no such file");
    t.status.see({{{"no-space", 5, "writes wait for space"}}});
    CHECK(t.status.write_problems(t.situation.now()));
    CHECK(t.status_node() == "waiting for the image: no such file; writes wait for space");
    t.status.tapdisk_ended(false);
    t.status.set_problem("");
    CHECK(t.status.write_problems(t.situation.now()));
    CHECK(t.status_node() == "waiting for the image");
}

TEST_CASE("disk status: nothing is written of a disk that was given up, and nothing is left to tell",
          "[unit][tapback]") {
    DiskHost t;
    t.situation.release();
    CHECK(t.status.write_problems(t.situation.now()));
    t.status.set_problem("its storage is away");
    t.status.write(t.situation.now());
    CHECK(t.status_node() == "none");
    CHECK(t.status.entry(t.situation.now(), false).problem == "its storage is away");
}

TEST_CASE("disk status: what was put into a transaction that failed is put again", "[unit][tapback]") {
    DiskHost t;
    const auto put = [&] {
        std::string told;
        t.directory.transact([&](const auto& nodes) { told = t.status.put(nodes, t.situation.now()); });
        return told;
    };
    t.status.set_problem("held");
    const std::string told = put();
    CHECK(t.status_node() == "waiting for the image: held");
    t.store().remove(t.backend("tapdisk/status"));  // as if it had not been committed
    CHECK(put() == told);
    CHECK(t.status_node() == told);
    t.status.was_put(told);
    t.store().remove(t.backend("tapdisk/status"));
    put();
    CHECK(t.status_node() == "none");
}

TEST_CASE("disk status: a list has a disk's image, and its options and device only for who asks", "[unit][tapback]") {
    DiskHost t;
    CHECK_FALSE(t.status.entry(t.situation.now(), true).pid.has_value());
    t.open_image();
    const ipc::VbdEntry brief = t.status.entry(t.situation.now(), false);
    CHECK(brief.state == "waiting for the guest");
    CHECK(brief.backend_state == 1);
    CHECK(brief.pid == 100);
    REQUIRE(brief.image.has_value());
    CHECK(brief.image->path == "/images/a");
    CHECK(brief.image->options.empty());
    CHECK_FALSE(brief.description.has_value());
    CHECK_FALSE(brief.problem.has_value());
    const ipc::VbdEntry whole = t.status.entry(t.situation.now(), true);
    CHECK(whole.image->options.size() == 1);
    REQUIRE(whole.description.has_value());
    CHECK(whole.description->size_sectors == 8);
}

TEST_CASE("disk status: only a disk of xl's own script came by takeover", "[unit][tapback]") {
    const auto came_by_takeover = [](StoreHost::Kind kind, const std::string& script) {
        const DiskHost t(kind);
        t.write_backend("script", script);
        return t.status.entry(t.situation.now(), false).takeover;
    };
    CHECK(came_by_takeover(StoreHost::Kind::vbd, "/etc/xen/scripts/block"));
    CHECK_FALSE(came_by_takeover(StoreHost::Kind::vbd, "/etc/xen/scripts/block-tapdisk"));
    CHECK_FALSE(came_by_takeover(StoreHost::Kind::vbd3, "/etc/xen/scripts/block"));
}
