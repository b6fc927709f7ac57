// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include <set>

#include "tests/support/catch.hpp"
#include "tests/unit/replay/backend/machine.hpp"

using namespace blktap;
using namespace blktap::replay;

TEST_CASE("frontend: tells a backend its rings, ports and layout", "[unit][replay]") {
    Machine machine;
    FrontendOptions options = Machine::frontend();
    options.queue_count = 3;
    options.ring_order = 2;
    options.protocol = ring::Protocol::x86_32;
    options.persistent = true;
    options.discard_enabled = false;
    const Frontend frontend(options);
    const ipc::ConnectArguments arguments = frontend.connect_arguments();
    CHECK(arguments.domain == MemoryBackend::guest);
    CHECK(arguments.protocol == "x86_32-abi");
    CHECK(arguments.persistent);
    CHECK(!arguments.discard_enabled);
    REQUIRE(arguments.queues.size() == 3);
    std::set<std::uint32_t> refs, ports;
    for (const ipc::QueueArguments& queue : arguments.queues) {
        CHECK(queue.ring_refs.size() == 4);
        refs.insert(queue.ring_refs.begin(), queue.ring_refs.end());
        ports.insert(queue.event_channel);
    }
    CHECK(refs.size() == 12);
    CHECK(ports.size() == 3);
}

TEST_CASE("session: a request is answered, and everything is gone afterwards", "[unit][replay]") {
    const auto protocol = GENERATE(ring::Protocol::native, ring::Protocol::x86_32, ring::Protocol::x86_64);
    Machine machine;
    {
        FrontendOptions options = Machine::frontend();
        options.protocol = protocol;
        Session session(machine.backend, options);
        CHECK(session.device().size_sectors == 2048);
        ring::RawRequest flush{};
        flush.operation = static_cast<std::uint8_t>(ring::Operation::flush_diskcache);
        flush.id = 0x1122334455667788;
        session.frontend().ring(0).put_request(flush);
        session.frontend().publish(0);
        while (!session.frontend().rearm())
            session.wait(std::chrono::seconds(10));
        const auto response = session.frontend().take(0).value();
        REQUIRE(response);
        CHECK(response->id == flush.id);
        CHECK(response->status == ring::Status::okay);
        CHECK(!session.frontend().take(0).value());
    }
    CHECK(machine.world.pages_shared_by(MemoryBackend::guest) == 0);
    CHECK(machine.world.pages_mapped_by(MemoryBackend::domain) == 0);
    CHECK(machine.world.ports_of(MemoryBackend::guest) == 0);
}

TEST_CASE("session: waiting ends at its limit when nothing happens", "[unit][replay]") {
    Machine machine;
    Session session(machine.backend, Machine::frontend());
    while (session.wait(std::chrono::milliseconds(0)) == Session::Wake::event) {
    }
    CHECK(session.wait(std::chrono::milliseconds(1)) == Session::Wake::timeout);
    CHECK(session.wait(std::chrono::milliseconds(-1)) == Session::Wake::timeout);
}
