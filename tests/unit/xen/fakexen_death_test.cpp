// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Several processes in one simulated machine, and what is left of them when they are killed.
#include <chrono>
#include <cstddef>
#include <memory>
#include <poll.h>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "libblktap/base/units.hpp"
#include "libblktap/xen/event_channel.hpp"
#include "libblktap/xen/grant_table.hpp"
#include "libblktap/xen/shared_pages.hpp"
#include "tests/fakexen/channels.hpp"
#include "tests/fakexen/control.hpp"
#include "tests/fakexen/shared_world.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/unit/xen/peer.hpp"
#include "tests/unit/xen/sides.hpp"

namespace blktap::xen {
namespace {

using testing::guest_domain;
using testing::our_domain;
using testing::Peer;

bool wait_for_event(EventChannelHandle& handle) {
    pollfd source{.fd = handle.fd(), .events = POLLIN, .revents = 0};
    if (::poll(&source, 1, 10'000) != 1) return false;
    const auto port = handle.pending();
    if (port) handle.unmask(*port);
    return port.has_value();
}

std::vector<std::string> offer_pages(int count) {
    return {"offer", "0", std::to_string(count)};
}

std::vector<std::string> bind_port(Port port, std::span<const GrantRef> refs = {}) {
    std::vector<std::string> arguments{"bind", std::to_string(guest_domain), std::to_string(port)};
    for (const GrantRef ref : refs)
        arguments.push_back(std::to_string(ref));
    return arguments;
}

// This process is the guest; the backend is another.
struct Guest {
    fakexen::World world;
    ShareHandle shares = testing::as_guest([] { return ShareHandle{}; });
    EventChannelHandle events = testing::as_guest([] { return EventChannelHandle{}; });
    SharedPages pages{shares, our_domain, 4, PageAccess::read_write};
    EventChannel channel = EventChannel::bind_unbound(events, our_domain);
};

}  // namespace

TEST_CASE("fakexen: a backend in another process maps our pages and answers our events", "[unit][fakexen][process]") {
    Guest guest;
    guest.pages.bytes()[0] = std::byte{11};
    guest.pages.bytes()[3 * page_size_bytes] = std::byte{14};
    Peer backend{bind_port(guest.channel.port(), guest.pages.refs()), guest.world.environment(our_domain)};
    CHECK(backend.line() == "bound 11 0 0 14");
    CHECK(guest.world.pages_mapped_by(our_domain) == 4);
    // The binding itself wakes the backend, which answers.
    CHECK(wait_for_event(guest.events));
    guest.channel.notify();
    CHECK(wait_for_event(guest.events));
    CHECK(backend.finish() == 0);
    CHECK(guest.world.pages_mapped_by(our_domain) == 0);
    CHECK(guest.world.ports_of(our_domain) == 0);
}

TEST_CASE("fakexen: a guest in another process is mapped, copied and signalled", "[unit][fakexen][process]") {
    const fakexen::World world;
    Peer guest{offer_pages(3), world.environment(guest_domain)};
    auto numbers = guest.numbers();
    REQUIRE(numbers.size() == 4);
    const std::vector<GrantRef> refs(numbers.begin() + 1, numbers.end());

    GrantTable grants;
    const auto pages = grants.map(guest_domain, refs, PageAccess::read_only).value();
    CHECK(pages.bytes()[2 * page_size_bytes] == std::byte{3});
    std::byte local{};
    CopySegment segment{};
    set_copy_from_guest(segment, guest_domain, refs[1], 5, &local, 1);
    CHECK(grants.copy({&segment, 1}) == std::error_code{});
    CHECK(local == std::byte{2});

    EventChannelHandle events;
    auto channel = EventChannel::bind_interdomain(events, guest_domain, numbers[0]);
    REQUIRE(wait_for_event(events));
    channel.notify();
    CHECK(wait_for_event(events));
}

TEST_CASE("fakexen: after kill -9 of the backend its maps are gone and its port can be bound again",
          "[unit][fakexen][process]") {
    Guest guest;
    const auto start = bind_port(guest.channel.port(), guest.pages.refs());
    Peer first{start, guest.world.environment(our_domain)};
    REQUIRE(first.line() == "bound 0 0 0 0");
    REQUIRE(wait_for_event(guest.events));
    first.kill();
    // Nobody has looked yet: an event to the dead goes nowhere, and that is no error.
    CHECK(guest.channel.notify());
    CHECK(guest.channel.notify());

    Peer second{start, guest.world.environment(our_domain)};
    REQUIRE(second.line() == "bound 0 0 0 0");
    CHECK(guest.world.pages_mapped_by(our_domain) == 4);
    CHECK(guest.world.ports_of(our_domain) == 1);
    CHECK(wait_for_event(guest.events));
    guest.channel.notify();
    CHECK(wait_for_event(guest.events));
    second.kill();
    CHECK(guest.world.pages_mapped_by(our_domain) == 0);
    CHECK_FALSE(guest.world.is_mapped(guest.pages.refs()[0]));
    CHECK(guest.world.connected_ports_of(guest_domain) == 0);
}

TEST_CASE("fakexen: a port is not given to a second backend while the first lives", "[unit][fakexen][process]") {
    Guest guest;
    Peer first{bind_port(guest.channel.port()), guest.world.environment(our_domain)};
    REQUIRE(first.line() == "bound");
    Peer second{bind_port(guest.channel.port()), guest.world.environment(our_domain)};
    CHECK(second.line() ==
          "event channel to port " + std::to_string(guest.channel.port()) + " of domain 5: Invalid argument");
    CHECK(second.finish() != 0);
}

TEST_CASE("fakexen: after kill -9 of a guest its pages stay for who mapped them; its grants and ports are gone",
          "[unit][fakexen][process]") {
    const fakexen::World world;
    Peer guest{offer_pages(2), world.environment(guest_domain)};
    const auto numbers = guest.numbers();
    REQUIRE(numbers.size() == 3);
    const std::vector<GrantRef> refs(numbers.begin() + 1, numbers.end());
    GrantTable grants;
    const auto pages = grants.map(guest_domain, refs, PageAccess::read_write).value();
    guest.kill();

    CHECK(grants.map(guest_domain, refs, PageAccess::read_only).error() == Errc::grant_denied);
    std::byte local{};
    CopySegment segment{};
    set_copy_from_guest(segment, guest_domain, refs[0], 0, &local, 1);
    REQUIRE(grants.copy({&segment, 1}) == std::error_code{});
    CHECK(segment.status == GNTST_bad_gntref);
    CHECK(world.pages_shared_by(guest_domain) == 0);
    CHECK(world.ports_of(guest_domain) == 0);
    CHECK(pages.bytes()[page_size_bytes] == std::byte{2});
}

TEST_CASE("fakexen: the port of a killed guest cannot be bound", "[unit][fakexen][process]") {
    const fakexen::World world;
    Peer guest{offer_pages(1), world.environment(guest_domain)};
    const auto numbers = guest.numbers();
    REQUIRE(numbers.size() == 2);
    guest.kill();
    EventChannelHandle events;
    CHECK_THROWS_AS(EventChannel::bind_interdomain(events, guest_domain, numbers[0]), std::system_error);
}

TEST_CASE("fakexen: a backend killed at any moment under load loses no event of its successor",
          "[unit][fakexen][process]") {
    Guest guest;
    for (int life = 0; life < 30; ++life) {
        Peer backend{bind_port(guest.channel.port()), guest.world.environment(our_domain)};
        REQUIRE(backend.line() == "bound");
        REQUIRE(wait_for_event(guest.events));
        for (int i = 0; i < 50 + 7 * life; ++i) {
            guest.channel.notify();
            while (const auto port = guest.events.pending())
                guest.events.unmask(*port);
        }
    }
}

TEST_CASE("fakexen: an event that a killed backend raised but did not deliver arrives when the next one binds",
          "[unit][fakexen]") {
    const testing::TemporaryDirectory parent{"/dev/shm"};
    fakexen::SharedWorld world{parent.path("world")};
    fakexen::ChannelHandle guest{world, guest_domain, true};
    fakexen::ChannelHandle backend{world, our_domain, true};
    const auto port = static_cast<Port>(guest.bind_unbound(our_domain));
    world.port(port).events.store(fakexen::event::pending);
    REQUIRE(backend.bind_interdomain(guest_domain, port) > 0);
    pollfd source{.fd = guest.fd(), .events = POLLIN, .revents = 0};
    REQUIRE(::poll(&source, 1, 0) == 1);
    CHECK(guest.pending() == static_cast<int>(port));
}

TEST_CASE("fakexen: who takes the lock after a death inside it repairs the counts", "[unit][fakexen]") {
    const testing::TemporaryDirectory parent{"/dev/shm"};
    fakexen::SharedWorld world{parent.path("world")};
    const pid_t pid = ::fork();
    if (pid == 0) {
        fakexen::SharedWorld own{parent.path("world")};
        const fakexen::WorldLock lock{own};
        own.layout().header.used_pages = 1;
        own.layout().pages[0].maps = 7;
        ::_exit(0);
    }
    ::waitpid(pid, nullptr, 0);
    REQUIRE(world.layout().pages[0].maps == 7);
    const fakexen::WorldLock lock{world};
    CHECK(world.layout().pages[0].maps == 0);
}

TEST_CASE("fakexen: a process killed while it changes the tables leaves them whole", "[unit][fakexen][process]") {
    const fakexen::World world;
    for (int life = 0; life < 20; ++life) {
        Peer restless{{"churn", "0"}, world.environment(guest_domain)};
        REQUIRE(restless.line() == "ready");
        // The moment of death is meant to be anywhere; no outcome depends on this time.
        std::this_thread::sleep_for(std::chrono::microseconds{200 + 137 * life});
    }
    CHECK(world.pages_shared_by(guest_domain) == 0);
    CHECK(world.ports_of(guest_domain) == 0);
    const auto handle = testing::as_guest([] { return std::make_unique<ShareHandle>(); });
    CHECK(SharedPages(*handle, our_domain, 64, PageAccess::read_only).refs().size() == 64);
}

}  // namespace blktap::xen
