// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Event channels of the simulated machine, as the C library gives them.
#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <poll.h>
#include <set>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

#include "libblktap/xen/xen_libraries.hpp"
#include "tests/fakexen/channels.hpp"
#include "tests/fakexen/control.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/xen/sides.hpp"

namespace fakexen {
namespace {

using blktap::testing::as_guest;
using blktap::testing::guest_domain;
using blktap::testing::our_domain;

constexpr std::uint16_t stranger_domain = 9;

using EventHandle = std::unique_ptr<xenevtchn_handle, decltype(&xenevtchn_close)>;
EventHandle open_events() {
    return {xenevtchn_open(nullptr, 0), xenevtchn_close};
}
EventHandle open_events_as(std::uint16_t domain) {
    const ActAs other{domain};
    return open_events();
}

bool is_readable(const EventHandle& handle, int timeout_ms = 0) {
    pollfd source{.fd = xenevtchn_fd(handle.get()), .events = POLLIN, .revents = 0};
    return ::poll(&source, 1, timeout_ms) == 1;
}

// -1: no event, whether or not the descriptor blocks.
int take(const EventHandle& handle) {
    return is_readable(handle) ? xenevtchn_pending(handle.get()) : -1;
}

int offer(const EventHandle& handle, std::uint16_t domain) {
    return xenevtchn_bind_unbound_port(handle.get(), domain);
}
int connect(const EventHandle& handle, std::uint16_t domain, int port) {
    return xenevtchn_bind_interdomain(handle.get(), domain, static_cast<evtchn_port_t>(port));
}
int notify(const EventHandle& handle, int port) {
    return xenevtchn_notify(handle.get(), static_cast<evtchn_port_t>(port));
}
int unmask(const EventHandle& handle, int port) {
    return xenevtchn_unmask(handle.get(), static_cast<evtchn_port_t>(port));
}
int unbind(const EventHandle& handle, int port) {
    return xenevtchn_unbind(handle.get(), static_cast<evtchn_port_t>(port));
}

struct Channel {
    World world;
    EventHandle guest = as_guest(open_events);
    EventHandle ours = open_events();
    int guest_port = offer(guest, our_domain);
    int our_port = connect(ours, guest_domain, guest_port);

    void take_first_event() {
        REQUIRE(take(ours) == our_port);
        unmask(ours, our_port);
    }
};

}  // namespace

TEST_CASE("fakexen: events that are not taken yet are one", "[unit][fakexen]") {
    Channel channel;
    channel.take_first_event();
    for (int i = 0; i < 100'000; ++i)
        REQUIRE(notify(channel.guest, channel.guest_port) == 0);
    CHECK(take(channel.ours) == channel.our_port);
    CHECK(take(channel.ours) == -1);
}

TEST_CASE("fakexen: a port that was taken is silent until it is unmasked, and loses nothing", "[unit][fakexen]") {
    Channel channel;
    REQUIRE(take(channel.ours) == channel.our_port);
    for (int i = 0; i < 3; ++i)
        notify(channel.guest, channel.guest_port);
    CHECK(take(channel.ours) == -1);
    unmask(channel.ours, channel.our_port);
    CHECK(take(channel.ours) == channel.our_port);
    unmask(channel.ours, channel.our_port);
    unmask(channel.ours, channel.our_port);
    CHECK(take(channel.ours) == -1);
}

TEST_CASE("fakexen: a handle with more ports than its socket has room for misses no event", "[unit][fakexen]") {
    constexpr int count = 1000;
    const World world;
    const auto guest = open_events_as(guest_domain);
    const auto ours = open_events();
    std::set<int> wanted;
    for (int i = 0; i < count; ++i)
        wanted.insert(connect(ours, guest_domain, offer(guest, our_domain)));
    REQUIRE(wanted.size() == count);
    REQUIRE(*wanted.begin() > 0);
    std::set<int> taken;
    for (int port = take(ours); port > 0; port = take(ours))
        taken.insert(port);
    CHECK(taken == wanted);
}

TEST_CASE("fakexen: a port that is taken, offered by another domain or to another is refused", "[unit][fakexen]") {
    Channel channel;
    CHECK(connect(channel.ours, guest_domain, channel.guest_port) == -1);
    CHECK(errno == EINVAL);
    const int free_port = offer(channel.guest, our_domain);
    CHECK(connect(channel.ours, stranger_domain, free_port) == -1);
    CHECK(connect(open_events_as(stranger_domain), guest_domain, free_port) == -1);
    for (const int port : {0, -1, 12345, static_cast<int>(port_count)}) {
        CHECK(connect(channel.ours, guest_domain, port) == -1);
    }
    CHECK(channel.world.ports_of(our_domain) == 1);
    CHECK(connect(channel.ours, guest_domain, free_port) > 0);
}

TEST_CASE("fakexen: when one side closes, the other's port waits for its domain again", "[unit][fakexen]") {
    Channel channel;
    SECTION("by unbind") {
        CHECK(unbind(channel.ours, channel.our_port) == 0);
    }
    SECTION("by closing the handle") {
        channel.ours = open_events();
        CHECK(channel.world.ports_of(our_domain) == 0);
    }
    CHECK(channel.world.connected_ports_of(guest_domain) == 0);
    CHECK(notify(channel.guest, channel.guest_port) == 0);
    CHECK(connect(open_events_as(stranger_domain), guest_domain, channel.guest_port) == -1);
    const int again = connect(channel.ours, guest_domain, channel.guest_port);
    REQUIRE(again > 0);
    CHECK(notify(channel.ours, again) == 0);
    CHECK(take(channel.guest) == channel.guest_port);
}

TEST_CASE("fakexen: the side that offered may close first as well", "[unit][fakexen]") {
    Channel channel;
    CHECK(unbind(channel.guest, channel.guest_port) == 0);
    CHECK(notify(channel.ours, channel.our_port) == 0);
    CHECK(connect(channel.ours, guest_domain, channel.guest_port) == -1);
    CHECK(connect(channel.guest, our_domain, channel.our_port) > 0);
}

TEST_CASE("fakexen: a port is of use only to the handle that has it", "[unit][fakexen]") {
    Channel channel;
    CHECK(notify(channel.ours, channel.guest_port) == -1);
    CHECK(errno == ENOTCONN);
    CHECK(unbind(channel.ours, channel.guest_port) == -1);
    CHECK(notify(channel.ours, -1) == -1);
    REQUIRE(unbind(channel.ours, channel.our_port) == 0);
    CHECK(notify(channel.ours, channel.our_port) == -1);
    CHECK(unbind(channel.ours, channel.our_port) == -1);
    CHECK(unmask(channel.ours, channel.our_port) == 0);
}

TEST_CASE("fakexen: an event of a closed port wakes nobody, and a blocking reader does not wait for it",
          "[unit][fakexen]") {
    Channel channel;
    channel.take_first_event();
    notify(channel.guest, channel.guest_port);
    REQUIRE(unbind(channel.ours, channel.our_port) == 0);
    REQUIRE((::fcntl(xenevtchn_fd(channel.ours.get()), F_GETFL) & O_NONBLOCK) == 0);
    CHECK(take(channel.ours) == -1);
    CHECK(errno == EAGAIN);
}

TEST_CASE("fakexen: a restricted handle talks to one domain only, for ever", "[unit][fakexen]") {
    Channel channel;
    CHECK(xenevtchn_restrict(channel.ours.get(), guest_domain) == 0);
    CHECK(xenevtchn_restrict(channel.ours.get(), stranger_domain) == -1);
    CHECK(errno == EACCES);
    CHECK(offer(channel.ours, stranger_domain) == -1);
    CHECK(connect(channel.ours, stranger_domain, 1) == -1);
    CHECK(xenevtchn_bind_virq(channel.ours.get(), 3) == -1);
    CHECK(errno == EACCES);
    CHECK(notify(channel.ours, channel.our_port) == 0);
    CHECK(connect(channel.ours, guest_domain, offer(channel.guest, our_domain)) > 0);
}

TEST_CASE("fakexen: a virtual interrupt can be bound and never comes", "[unit][fakexen]") {
    Channel channel;
    channel.take_first_event();
    const int port = xenevtchn_bind_virq(channel.ours.get(), VIRQ_DOM_EXC);
    REQUIRE(port > 0);
    CHECK(notify(channel.ours, port) == 0);
    CHECK(take(channel.ours) == -1);
    CHECK(unbind(channel.ours, port) == 0);
}

TEST_CASE("fakexen: a handle is rebuilt from its descriptor, with its ports", "[unit][fakexen]") {
    Channel channel;
    channel.take_first_event();
    const int fd = ::dup(xenevtchn_fd(channel.ours.get()));
    const EventHandle rebuilt{xenevtchn_fdopen(nullptr, fd, 0), xenevtchn_close};
    REQUIRE(rebuilt != nullptr);
    notify(channel.guest, channel.guest_port);
    CHECK(take(rebuilt) == channel.our_port);
    CHECK(xenevtchn_fdopen(nullptr, ::dup(STDIN_FILENO), 0) == nullptr);
    CHECK(errno == EINVAL);
}

TEST_CASE("fakexen: one handle tells its channels apart", "[unit][fakexen]") {
    Channel channel;
    channel.take_first_event();
    const int second_guest_port = offer(channel.guest, our_domain);
    const int second = connect(channel.ours, guest_domain, second_guest_port);
    REQUIRE(take(channel.ours) == second);
    notify(channel.guest, channel.guest_port);
    unmask(channel.ours, second);
    notify(channel.guest, second_guest_port);
    CHECK(take(channel.ours) == channel.our_port);
    CHECK(take(channel.ours) == second);
}

TEST_CASE("fakexen: unmapping a page signals the port that was asked for", "[unit][fakexen]") {
    Channel channel;
    channel.take_first_event();
    xengntshr_handle* const share = as_guest([] { return xengntshr_open(nullptr, 0); });
    std::uint32_t ref = 0;
    void* const page = xengntshr_share_page_notify(share, our_domain, &ref, 1, static_cast<std::uint32_t>(-1),
                                                   static_cast<evtchn_port_t>(channel.guest_port));
    REQUIRE(page != nullptr);
    CHECK(take(channel.ours) == -1);
    CHECK(xengntshr_unshare(share, page, 1) == 0);
    CHECK(take(channel.ours) == channel.our_port);
    xengntshr_close(share);
}

TEST_CASE("fakexen: two threads that wait for each other's events never wait in vain", "[unit][fakexen][threads]") {
    Channel channel;
    channel.take_first_event();
    constexpr int rounds = 20'000;
    int shared_turns = 0;  // only the thread whose turn it is touches it: ThreadSanitizer sees a missing barrier here
    const auto play = [&](const EventHandle& handle, int port) {
        for (int round = 0; round < rounds; ++round) {
            if (!is_readable(handle, 10'000)) return false;
            if (xenevtchn_pending(handle.get()) != port) return false;
            unmask(handle, port);
            ++shared_turns;
            notify(handle, port);
        }
        return true;
    };
    bool guest_was_served = false;
    std::thread guest{[&] { guest_was_served = play(channel.guest, channel.guest_port); }};
    notify(channel.ours, channel.our_port);
    const bool we_were_served = play(channel.ours, channel.our_port);
    guest.join();
    CHECK(guest_was_served);
    CHECK(we_were_served);
    CHECK(shared_turns == 2 * rounds);
}

TEST_CASE("fakexen: what a process that ends has still open is in nobody's way", "[unit][fakexen]") {
    const World world;
    EventHandle first = open_events();
    const blktap::UniqueFd left{::fcntl(xenevtchn_fd(first.get()), F_DUPFD_CLOEXEC, 0)};
    REQUIRE(left);
    first.reset();
    const EventHandle ours = open_events();
    REQUIRE(ours);
    const EventHandle guest = open_events_as(guest_domain);
    const int port = connect(ours, guest_domain, offer(guest, our_domain));
    REQUIRE(port > 0);
    REQUIRE(take(ours) == port);
}

TEST_CASE("fakexen: what is written before a notify that finds the event pending is seen after it is taken",
          "[unit][fakexen][threads]") {
    Channel channel;
    channel.take_first_event();
    constexpr std::uint32_t last = 200'000;
    std::atomic<std::uint32_t> published{0};
    std::thread guest{[&] {
        for (std::uint32_t value = 1; value <= last; ++value) {
            published.store(value, std::memory_order_relaxed);
            notify(channel.guest, channel.guest_port);
        }
    }};
    // Each event is a promise to see everything up to it; a lost one would leave this loop waiting for ever.
    std::uint32_t seen = 0;
    while (seen != last && is_readable(channel.ours, 10'000)) {
        REQUIRE(xenevtchn_pending(channel.ours.get()) == channel.our_port);
        unmask(channel.ours, channel.our_port);
        seen = published.load(std::memory_order_relaxed);
    }
    guest.join();
    CHECK(seen == last);
}

}  // namespace fakexen
