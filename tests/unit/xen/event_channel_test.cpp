// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/xen/event_channel.hpp"

#include <cerrno>
#include <poll.h>
#include <string>
#include <utility>

#include "tests/fakexen/control.hpp"
#include "tests/fakexen/failures.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/thrown.hpp"
#include "tests/unit/xen/sides.hpp"

namespace blktap::xen {
namespace {

using testing::guest_domain;
using testing::our_domain;
using testing::thrown;

bool is_readable(const EventChannelHandle& handle) {
    pollfd source{.fd = handle.fd(), .events = POLLIN, .revents = 0};
    return ::poll(&source, 1, 0) == 1;
}

// A guest's end and ours, connected, the event of the binding taken.
struct Connected {
    fakexen::World world;
    EventChannelHandle guest_handle = testing::as_guest([] { return EventChannelHandle{}; });
    EventChannelHandle handle;
    EventChannel guest = EventChannel::bind_unbound(guest_handle, our_domain);
    EventChannel ours = EventChannel::bind_interdomain(handle, guest_domain, guest.port());

    Connected() { handle.unmask(handle.pending().value()); }
};

}  // namespace

TEST_CASE("event channel handle: without Xen, opening says what could not be opened", "[unit][xen]") {
    const auto error = thrown([] { EventChannelHandle handle; });
    CHECK(error.code() == std::errc::no_such_file_or_directory);
    CHECK(std::string{error.what()}.starts_with("xenevtchn_open: "));
}

TEST_CASE("event channel handle: with no event, pending() answers at once", "[unit][xen]") {
    const fakexen::World world;
    EventChannelHandle handle;
    CHECK_FALSE(is_readable(handle));
    CHECK(handle.pending() == std::nullopt);
}

TEST_CASE("event channel: binding raises one event at the side that binds", "[unit][xen]") {
    const fakexen::World world;
    auto guest_handle = testing::as_guest([] { return EventChannelHandle{}; });
    const auto guest = EventChannel::bind_unbound(guest_handle, our_domain);
    EventChannelHandle handle;
    const auto ours = EventChannel::bind_interdomain(handle, guest_domain, guest.port());
    CHECK(handle.pending() == ours.port());
    CHECK(handle.pending() == std::nullopt);
    CHECK(guest_handle.pending() == std::nullopt);
}

TEST_CASE("event channel: each side wakes the other", "[unit][xen]") {
    Connected each;
    CHECK(each.guest.notify());
    CHECK(is_readable(each.handle));
    CHECK(each.handle.pending() == each.ours.port());
    CHECK_FALSE(is_readable(each.handle));
    CHECK(each.ours.notify());
    CHECK(each.guest_handle.pending() == each.guest.port());
}

TEST_CASE("event channel: an event that came while the channel was masked fires at unmask", "[unit][xen]") {
    Connected each;
    each.guest.notify();
    REQUIRE(each.handle.pending() == each.ours.port());
    each.guest.notify();
    CHECK(each.handle.pending() == std::nullopt);
    each.handle.unmask(each.ours.port());
    CHECK(each.handle.pending() == each.ours.port());
}

TEST_CASE("event channel: is closed when its owner dies, once, wherever it moved", "[unit][xen]") {
    Connected each;
    {
        EventChannel moved = std::move(each.ours);
        CHECK(moved.notify());
        CHECK(each.world.connected_ports_of(our_domain) == 1);
    }
    CHECK(each.world.ports_of(our_domain) == 0);
    each.ours = EventChannel::bind_interdomain(each.handle, guest_domain, each.guest.port());
    each.ours = EventChannel::bind_unbound(each.handle, guest_domain);
    CHECK(each.world.ports_of(our_domain) == 1);
    CHECK(each.world.connected_ports_of(our_domain) == 0);
}

TEST_CASE("event channel: a refused binding names the port and the domain", "[unit][xen]") {
    const fakexen::World world;
    EventChannelHandle handle;
    const auto error = thrown([&] { EventChannel::bind_interdomain(handle, guest_domain, 33); });
    CHECK(error.code() == std::errc::invalid_argument);
    CHECK(std::string{error.what()}.find("port 33 of domain 5") != std::string::npos);
}

TEST_CASE("event channel: a refused offer names the domain", "[unit][xen]") {
    const fakexen::World world;
    EventChannelHandle handle;
    fakexen::fail_nth(fakexen::Call::bind, 1, ENOSPC);
    const auto error = thrown([&] { EventChannel::bind_unbound(handle, guest_domain); });
    CHECK(error.code() == std::errc::no_space_on_device);
    CHECK(std::string{error.what()}.find("domain 5") != std::string::npos);
}

TEST_CASE("event channel: a wake-up that fails is reported, not thrown", "[unit][xen]") {
    Connected each;
    fakexen::fail_nth(fakexen::Call::notify, 1);
    CHECK_FALSE(each.ours.notify());
    CHECK(each.ours.notify());
}

}  // namespace blktap::xen
