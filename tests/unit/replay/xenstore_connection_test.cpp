// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Against the real xenstored; the backend's half is on a thread of this process.
#include "tests/replay/frontend/xenstore_connection.hpp"

#include <poll.h>
#include <sys/eventfd.h>

#include "tests/replay/load/load.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/replay/backend/machine.hpp"
#include "tests/unit/replay/backend/xenstore_backend.hpp"

using namespace blktap;
using namespace blktap::replay;
using Catch::Contains;
using testing::wait_until;

namespace {

struct Guest {
    testing::Xenstored xenstored{};
    Machine machine{};
    XenstoreBackend backend{machine.backend};
    XenstoreOptions options{};
    Nanoseconds timeout = std::chrono::seconds(10);

    Guest() { options.frontend = XenstoreBackend::frontend; }
    XenstoreConnection open() const { return {options, timeout, -1}; }
    std::string frontend_node(const std::string& name) const {
        return backend.toolstack.read(std::string(XenstoreBackend::frontend) + '/' + name).value_or("none");
    }
    void set_backend_state(const char* state) const {
        backend.toolstack.write(std::string(XenstoreBackend::backend) + "/state", state);
    }
    /// As an event loop: waits for something to see, and looks.
    static bool next_look(XenstoreConnection& connection) {
        pollfd readable{connection.fd(), POLLIN, 0};
        REQUIRE(::poll(&readable, 1, 10'000) == 1);
        return connection.check();
    }
    /// Waits until the event for the backend's state at the end of the handshake has been taken.
    static void take_old_news(XenstoreConnection& connection) {
        pollfd readable{connection.fd(), POLLIN, 0};
        while (::poll(&readable, 1, 50) == 1)
            CHECK(connection.check());
    }
};

/// Writes, and reads back through the rings: the rings are those that the nodes say.
void write_and_verify(Session& session, const Machine& machine) {
    GeneratorOptions generator;
    generator.read_percent = 0;
    generator.requests_max = 64;
    generator.exclusive = true;
    const SectorRange range{0, session.device().size_sectors};
    DiskModel model(range, generator.seed);
    LoadTraffic load(generator, range, 8, false, Nanoseconds::max(), &model);
    Statistics statistics;
    Pump pump(session, machine.clock, {4, 1, false, std::chrono::seconds(10), {}});
    CHECK(pump.run(load, statistics));
    ReadBackTraffic read_back(model, 8, false);
    CHECK(pump.run(read_back, statistics));
    CHECK(statistics.errors == 0);
}

}  // namespace

TEST_CASE("xenstore connection: walks a frontend's states, and the rings behind its nodes work", "[unit][replay]") {
    Guest guest;
    FrontendOptions wishes = guest.machine.frontend();
    wishes.queue_count = GENERATE(1u, 3u);
    wishes.ring_order = GENERATE(0u, 2u);
    wishes.protocol = GENERATE(ring::Protocol::native, ring::Protocol::x86_32);
    wishes.persistent = wishes.ring_order == 2;
    guest.backend.start();
    {
        XenstoreConnection connection = guest.open();
        Session session(connection, wishes);
        CHECK(session.device().size_sectors == 2048);
        CHECK(session.device().physical_sector_size_bytes == 4096);
        CHECK(session.device().discard);
        CHECK(session.device().indirect_segments_max == 256);
        CHECK_FALSE(session.device().read_only);
        CHECK(guest.machine.backend.connected_with.queues.size() == wishes.queue_count);
        CHECK(guest.machine.backend.connected_with.queues[0].ring_refs.size() == 1u << wishes.ring_order);
        CHECK(guest.machine.backend.connected_with.persistent == wishes.persistent);
        CHECK(guest.frontend_node("state") == "4");
        write_and_verify(session, guest.machine);
        session.disconnect();
        CHECK(guest.frontend_node("state") == "6");
    }
    guest.backend.stop();
    CHECK(guest.backend.connected_in == "3");
    CHECK(guest.machine.world.pages_shared_by(MemoryBackend::guest) == 0);
}

TEST_CASE("xenstore connection: connects again after it has closed", "[unit][replay]") {
    Guest guest;
    guest.backend.start();
    XenstoreConnection connection = guest.open();
    for (int life = 0; life < 3; ++life) {
        Session session(connection, guest.machine.frontend());
        write_and_verify(session, guest.machine);
        session.disconnect();
    }
    CHECK(guest.machine.backend.connects == 3);
}

TEST_CASE("xenstore connection: the nodes of one page and one queue have the short names", "[unit][replay]") {
    Guest guest;
    guest.backend.start();
    XenstoreConnection connection = guest.open();
    Session session(connection, guest.machine.frontend());
    CHECK(guest.frontend_node("ring-ref") != "none");
    CHECK(guest.frontend_node("event-channel") != "none");
    CHECK(guest.frontend_node("protocol") == "x86_64-abi");
    CHECK(guest.frontend_node("feature-persistent") == "0");
    for (const char* absent : {"ring-page-order", "ring-ref0", "multi-queue-num-queues", "queue-0"})
        CHECK(guest.frontend_node(absent) == "none");
}

TEST_CASE("xenstore connection: odd frontends are played", "[unit][replay]") {
    Guest guest;
    FrontendOptions wishes = guest.machine.frontend();
    std::string state = "3";
    SECTION("straight to Connected") {
        guest.options.straight_to_connected = true;
        state = "4";
    }
    SECTION("no wait for offers") {
        guest.options.skip_init_wait = true;
        guest.backend.makes_offers = false;
    }
    SECTION("no protocol") {
        guest.options.odd.omit_protocol = true;
        wishes.protocol = ring::Protocol::x86_32;
    }
    SECTION("more nodes") {
        guest.options.odd.nodes = {{"feature-large-sector-size", "1"}, {"protocol", "native"}};
    }
    guest.backend.start();
    {
        XenstoreConnection connection = guest.open();
        Session session(connection, wishes);
        write_and_verify(session, guest.machine);
        CHECK((guest.frontend_node("protocol") == "none") == guest.options.odd.omit_protocol);
        for (const auto& [name, value] : guest.options.odd.nodes)
            CHECK(guest.frontend_node(name) == value);
        session.disconnect();
    }
    guest.backend.stop();
    CHECK(guest.backend.connected_in == state);
}

TEST_CASE("xenstore connection: what the backend does not offer is not asked for", "[unit][replay]") {
    Guest guest;
    guest.backend.ring_order_max = 1;
    guest.backend.start();
    XenstoreConnection connection = guest.open();
    FrontendOptions wishes = guest.machine.frontend();
    wishes.queue_count = 5;
    CHECK_THROWS_WITH(Session(connection, wishes), Contains("4 queues at most"));
    wishes.queue_count = 1;
    wishes.ring_order = 2;
    CHECK_THROWS_WITH(Session(connection, wishes), Contains("rings of order 1 at most"));
    CHECK(guest.machine.backend.connects == 0);
}

TEST_CASE("xenstore connection: a directory that is no frontend is named", "[unit][replay]") {
    Guest guest;
    guest.options.frontend = "/local/domain/5/device/vbd/51728";
    CHECK_THROWS_WITH(guest.open(), Contains("/local/domain/5/device/vbd/51728/backend"));
    guest.options.frontend = XenstoreBackend::frontend;
    const char* node = GENERATE("/backend-id", "/virtual-device");
    guest.backend.toolstack.write(std::string(XenstoreBackend::frontend) + node, "many");
    CHECK_THROWS_WITH(guest.open(), Contains(node));
}

TEST_CASE("xenstore connection: a backend that does nothing is a failure, after the timeout", "[unit][replay]") {
    Guest guest;
    guest.timeout = std::chrono::milliseconds(100);
    const char* complaint = "";
    SECTION("no offers") {
        guest.backend.makes_offers = false;
        complaint = "the backend never offered anything: it is in state 1";
    }
    SECTION("no connection") {
        guest.backend.connects = false;
        complaint = "the backend did not connect: it is in state 2";
    }
    guest.backend.start();
    XenstoreConnection connection = guest.open();
    try {
        const Session session(connection, guest.machine.frontend());
        FAIL("it connected");
    } catch (const Failure& failure) {
        CHECK_THAT(failure.what(), Contains(complaint));
    }
}

TEST_CASE("xenstore connection: a backend that refuses is told from one that fails", "[unit][replay]") {
    Guest guest;
    guest.backend.refuses = true;
    guest.backend.connects = false;
    guest.backend.start();
    XenstoreConnection connection = guest.open();
    CHECK_THROWS_WITH(Session(connection, guest.machine.frontend()), Contains("refused to connect"));
    CHECK(guest.frontend_node("state") == "6");
}

TEST_CASE("xenstore connection: a backend that does not describe its disk is a failure", "[unit][replay]") {
    Guest guest;
    const std::string node = GENERATE("sectors", "sector-size", "info");
    guest.backend.withheld = {node};
    guest.backend.start();
    XenstoreConnection connection = guest.open();
    CHECK_THROWS_AS(Session(connection, guest.machine.frontend()), Failure);
}

TEST_CASE("xenstore connection: sectors of another size are a failure", "[unit][replay]") {
    Guest guest;
    guest.backend.sector_size = "4096";
    guest.backend.start();
    XenstoreConnection connection = guest.open();
    CHECK_THROWS_WITH(Session(connection, guest.machine.frontend()), Contains("sectors of 4096 bytes"));
}

TEST_CASE("xenstore connection: a disk that the toolstack takes away is given up once", "[unit][replay]") {
    Guest guest;
    guest.backend.start();
    XenstoreConnection connection = guest.open();
    Session session(connection, guest.machine.frontend());
    guest.take_old_news(connection);
    guest.set_backend_state("5");
    CHECK(session.wait(std::chrono::seconds(10)) == Session::Wake::interrupted);
    guest.set_backend_state("5");
    CHECK(guest.next_look(connection));
    write_and_verify(session, guest.machine);  // the backend serves until we close
    CHECK_NOTHROW(session.disconnect());
    CHECK(guest.frontend_node("state") == "6");
}

TEST_CASE("xenstore connection: a frontend that never closes stays in Closing, and in use", "[unit][replay]") {
    Guest guest;
    guest.options.never_close = true;
    guest.backend.start();
    XenstoreConnection connection = guest.open();
    Session session(connection, guest.machine.frontend());
    guest.take_old_news(connection);
    guest.set_backend_state("5");
    CHECK(guest.next_look(connection));
    CHECK(guest.frontend_node("state") == "5");
    write_and_verify(session, guest.machine);
    session.disconnect();
    CHECK(guest.frontend_node("state") == "5");
}

TEST_CASE("xenstore connection: a backend that closes by itself is gone", "[unit][replay]") {
    Guest guest;
    guest.backend.start();
    XenstoreConnection connection = guest.open();
    Session session(connection, guest.machine.frontend());
    write_and_verify(session, guest.machine);
    guest.take_old_news(connection);
    SECTION("closed") {
        guest.set_backend_state("6");
    }
    SECTION("removed") {
        guest.backend.toolstack.remove(XenstoreBackend::backend);
    }
    CHECK_THROWS_AS(guest.next_look(connection), BackendGone);
}

TEST_CASE("xenstore connection: a frontend whose directory was removed leaves no node", "[unit][replay]") {
    Guest guest;
    guest.backend.start();
    XenstoreConnection connection = guest.open();
    Session session(connection, guest.machine.frontend());
    write_and_verify(session, guest.machine);
    guest.backend.toolstack.remove("/local/domain/5");
    guest.backend.toolstack.remove(XenstoreBackend::backend);
    CHECK_NOTHROW(session.disconnect());
    CHECK(guest.backend.toolstack.list("/local/domain/5").empty());
}

TEST_CASE("xenstore connection: who is interrupted waits for no backend, but leaves one in order", "[unit][replay]") {
    Guest guest;
    UniqueFd interrupt(::eventfd(0, EFD_CLOEXEC));
    const auto open = [&] { return XenstoreConnection(guest.options, guest.timeout, interrupt.get()); };
    SECTION("before it is connected") {
        ::eventfd_write(interrupt.get(), 1);
        guest.backend.makes_offers = false;
        guest.backend.start();
        XenstoreConnection connection = open();
        CHECK_THROWS_WITH(Session(connection, guest.machine.frontend()), "interrupted");
    }
    SECTION("after") {
        guest.backend.start();
        XenstoreConnection connection = open();
        Session session(connection, guest.machine.frontend());
        ::eventfd_write(interrupt.get(), 1);
        CHECK_NOTHROW(session.disconnect());
        CHECK(guest.frontend_node("state") == "6");
    }
}
