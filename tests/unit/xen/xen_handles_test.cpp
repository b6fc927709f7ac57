// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/xen/xen_handles.hpp"

#include "tests/fakexen/failures.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/thrown.hpp"
#include "tests/unit/xen/sides.hpp"

namespace blktap::xen {
namespace {

using testing::guest_domain;
using testing::our_domain;
using testing::thrown;

constexpr DomainId other_domain = guest_domain + 1;

struct OtherGuest {
    explicit OtherGuest(DomainId domain)
        : events([domain] {
              const fakexen::ActAs guest{domain};
              return EventChannelHandle{};
          }()),
          channel(EventChannel::bind_unbound(events, our_domain)) {}
    EventChannelHandle events;
    EventChannel channel;
};

}  // namespace

TEST_CASE("xen handles: are opened for each user, of any domain, when nothing else was asked for", "[unit][xen]") {
    const fakexen::World world;
    KeptHandles handles;
    OtherGuest guest(guest_domain);
    OtherGuest other(other_domain);
    const auto first = handles.lend(guest_domain);
    const auto second = handles.lend(guest_domain);
    CHECK(first != second);
    CHECK_NOTHROW(EventChannel::bind_interdomain(first->events, guest_domain, guest.channel.port()));
    CHECK_NOTHROW(EventChannel::bind_interdomain(first->events, other_domain, other.channel.port()));
}

TEST_CASE("xen handles: opened beforehand they are lent to one user after the other", "[unit][xen]") {
    const fakexen::World world;
    KeptHandles handles;
    handles.open_the_only_ones();
    // Whoever opened anything from now on would fail.
    fakexen::fail_nth(fakexen::Call::open_evtchn, 1, EACCES);
    fakexen::fail_nth(fakexen::Call::open_gnttab, 1, EACCES);
    auto first = handles.lend(guest_domain);
    const auto busy = thrown([&] { handles.lend(guest_domain); });
    CHECK(busy.code() == std::errc::device_or_resource_busy);
    XenHandles* const lent = first.get();
    first.reset();
    first = handles.lend(guest_domain);
    CHECK(first.get() == lent);
    fakexen::fail_nothing();
}

TEST_CASE("xen handles: opened beforehand their event channels are those of the first user's domain", "[unit][xen]") {
    const fakexen::World world;
    KeptHandles handles;
    handles.open_the_only_ones();
    OtherGuest guest(guest_domain);
    OtherGuest other(other_domain);
    auto lent = handles.lend(guest_domain);
    CHECK_NOTHROW(EventChannel::bind_interdomain(lent->events, guest_domain, guest.channel.port()));
    CHECK(thrown([&] { EventChannel::bind_interdomain(lent->events, other_domain, other.channel.port()); }).code() ==
          std::errc::permission_denied);
    lent.reset();
    CHECK(thrown([&] { handles.lend(other_domain); }).code() == std::errc::operation_not_permitted);
    CHECK_NOTHROW(handles.lend(guest_domain));
}

TEST_CASE("xen handles: an event that one user has not taken does not reach the next", "[unit][xen]") {
    const fakexen::World world;
    KeptHandles handles;
    handles.open_the_only_ones();
    OtherGuest guest(guest_domain);
    auto lent = handles.lend(guest_domain);
    { const auto channel = EventChannel::bind_interdomain(lent->events, guest_domain, guest.channel.port()); }
    lent.reset();
    lent = handles.lend(guest_domain);
    CHECK(lent->events.pending() == std::nullopt);
    auto channel = EventChannel::bind_interdomain(lent->events, guest_domain, guest.channel.port());
    CHECK(lent->events.pending() == channel.port());
}

TEST_CASE("xen handles: that there was no Xen beforehand is told to who wants to use it", "[unit][xen]") {
    KeptHandles handles;
    handles.open_the_only_ones();
    CHECK(thrown([&] { handles.lend(guest_domain); }).code() == std::errc::no_such_file_or_directory);
}

}  // namespace blktap::xen
