// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What the simulated machine costs; run by name: xen_test '[benchmark]'. Benchmarks of the project stand on these.
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "libblktap/xen/event_channel.hpp"
#include "libblktap/xen/grant_table.hpp"
#include "libblktap/xen/shared_pages.hpp"
#include "tests/fakexen/control.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/xen/peer.hpp"
#include "tests/unit/xen/sides.hpp"

namespace blktap::xen {
namespace {

using testing::guest_domain;
using testing::our_domain;

template <class Body>
void measure(const char* what, int rounds, Body body) {
    const auto begin = std::chrono::steady_clock::now();
    for (int round = 0; round < rounds; ++round)
        body();
    const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - begin;
    std::printf("%-50s %9.0f ns\n", what, taken.count() / rounds);
}

}  // namespace

TEST_CASE("fakexen: cost of an event", "[.benchmark]") {
    const fakexen::World world;
    auto guest_events = testing::as_guest([] { return EventChannelHandle{}; });
    auto guest = EventChannel::bind_unbound(guest_events, our_domain);
    {
        testing::Peer backend{{"bind", "5", std::to_string(guest.port())}, world.environment(our_domain)};
        backend.line();
        const auto next_event = [&] {
            std::optional<Port> port;
            while (!(port = guest_events.pending())) {
            }
            guest_events.unmask(*port);
        };
        next_event();
        measure("round trip, two processes, one of them polling", 100'000, [&] {
            guest.notify();
            next_event();
        });
    }
    EventChannelHandle events;
    auto ours = EventChannel::bind_interdomain(events, guest_domain, guest.port());
    measure("notify of a pending port", 1'000'000, [&] { guest.notify(); });
    measure("notify, pending, unmask in one thread", 1'000'000, [&] {
        guest.notify();
        events.unmask(events.pending().value());
    });
}

TEST_CASE("fakexen: cost of a grant copy", "[.benchmark]") {
    const fakexen::World world;
    auto guest = testing::as_guest([] { return ShareHandle{}; });
    const SharedPages pages{guest, our_domain, 16, PageAccess::read_write};
    GrantTable grants;
    std::vector<std::byte> local(16 * 4096);
    std::vector<CopySegment> segments(16);
    for (std::size_t i = 0; i < 16; ++i) {
        set_copy_from_guest(segments[i], guest_domain, pages.refs()[i], 0, &local[i * 4096], 4096);
    }
    measure("copy of 1 page", 1'000'000, [&] { grants.copy({segments.data(), 1}); });
    measure("copy of 16 pages", 100'000, [&] { grants.copy(segments); });
    measure("map and unmap of 16 pages", 10'000,
            [&] { grants.map(guest_domain, pages.refs(), PageAccess::read_write).value(); });
    measure("share and unshare of 16 pages", 10'000,
            [&] { SharedPages(guest, our_domain, 16, PageAccess::read_write); });
}

TEST_CASE("fakexen: cost of a world", "[.benchmark]") {
    measure("making and removing a world", 200, [] { fakexen::World world; });
}

}  // namespace blktap::xen
