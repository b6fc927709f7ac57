// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include <array>
#include <cerrno>
#include <string>

#include "libblktap/xen/event_channel.hpp"
#include "libblktap/xen/grant_table.hpp"
#include "libblktap/xen/shared_pages.hpp"
#include "tests/fakexen/control.hpp"
#include "tests/fakexen/failures.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/thrown.hpp"
#include "tests/unit/xen/peer.hpp"
#include "tests/unit/xen/sides.hpp"

namespace fakexen {
namespace {

using namespace blktap::xen;
using blktap::testing::guest_domain;
using blktap::testing::our_domain;
using blktap::testing::Peer;
using blktap::testing::thrown;

}  // namespace

TEST_CASE("fakexen: the n-th call fails, once, with the error asked for", "[unit][fakexen]") {
    const World world;
    fail_nth(Call::open_evtchn, 3, EMFILE);
    const EventChannelHandle first;
    const EventChannelHandle second;
    CHECK(failure_is_due(Call::open_evtchn));
    CHECK(thrown([] { EventChannelHandle third; }).code().value() == EMFILE);
    CHECK_FALSE(failure_is_due(Call::open_evtchn));
    CHECK_NOTHROW(EventChannelHandle{});
}

TEST_CASE("fakexen: every kind of call can be made to fail", "[unit][fakexen]") {
    const World world;
    ShareHandle shares;
    EventChannelHandle events;
    GrantTable grants;
    const SharedPages pages{shares, our_domain, 1, PageAccess::read_write};
    auto offered = EventChannel::bind_unbound(events, our_domain);
    std::byte local{};
    std::array<CopySegment, 2> segments{};
    for (auto& each : segments)
        set_copy_from_guest(each, our_domain, pages.refs()[0], 0, &local, 1);

    fail_as_told("map:1:12,copy:1,copy_segment:2:-8,bind:1,share:1,notify:1,open_gnttab:1,open_evtchn:1:13");
    CHECK(grants.map(our_domain, pages.refs(), PageAccess::read_only).error().value() == ENOMEM);
    CHECK(grants.copy(segments).value() == EFAULT);
    CHECK(grants.copy(segments) == std::error_code{});
    CHECK(segments[0].status == GNTST_okay);
    CHECK(segments[1].status == GNTST_permission_denied);
    CHECK(thrown([&] { EventChannel::bind_unbound(events, our_domain); }).code().value() == EINVAL);
    CHECK(thrown([&] { SharedPages(shares, our_domain, 1, PageAccess::read_only); }).code().value() == ENOSPC);
    CHECK_FALSE(offered.notify());
    CHECK(thrown([] { GrantTable table; }).code().value() == EACCES);
    CHECK(thrown([] { EventChannelHandle handle; }).code().value() == EACCES);

    CHECK(grants.map(our_domain, pages.refs(), PageAccess::read_only).has_value());
    CHECK(offered.notify());
}

TEST_CASE("fakexen: a new world starts with no failure due", "[unit][fakexen]") {
    fail_nth(Call::map, 1);
    const World world;
    CHECK_FALSE(failure_is_due(Call::map));
    fail_nth(Call::map, 1);
    fail_nothing();
    CHECK_FALSE(failure_is_due(Call::map));
}

TEST_CASE("fakexen: FAKEXEN_FAIL makes an unmodified program's call fail", "[unit][fakexen][process]") {
    const World world;
    auto environment = world.environment(guest_domain);
    environment.emplace_back("FAKEXEN_FAIL=share:1:12");
    Peer guest{{"offer", "0", "1"}, environment};
    CHECK(guest.line().find("Cannot allocate memory") != std::string::npos);
}

TEST_CASE("fakexen: a misspelt FAKEXEN_FAIL stops the program instead of testing nothing", "[unit][fakexen][process]") {
    const World world;
    for (const std::string failure : {"mop:1", "map", "map:0", "map:x", "map:1:x"}) {
        auto environment = world.environment(guest_domain);
        environment.push_back("FAKEXEN_FAIL=" + failure);
        Peer guest{{"offer", "0", "1"}, environment};
        CHECK(guest.line() == "");
        CHECK(guest.finish() != 0);
    }
}

}  // namespace fakexen
