// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Images that take time to open, come and go with a connection, or are a filter over another image: drivers that do not
// use files.

#include "libblktap/files/local_image_opener.hpp"
#include "tapdisk/disk/retry_delays.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/images/shift_filter.hpp"
#include "tests/support/socket_server.hpp"
#include "tests/support/thrown.hpp"
#include "tests/unit/tapdisk/controlled_disk.hpp"
#include "tests/unit/tapdisk/stub_disk.hpp"

using namespace blktap;
using namespace blktap::testing;
using ipc::Json;
using ring::Status;

namespace {

constexpr std::uint64_t sectors = 16 * 1024;

void open_shift_over_socket(const ImageSpec& spec, const DriverContext& context, ImageOpening& opening) {
    Registry drivers = all_drivers();
    drivers.add(SocketDriver::format, &open_socket_image);
    OpeningShift::open(spec, context, opening, drivers);
}

VbdHarness::Options with_test_drivers() {
    VbdHarness::Options options = Controlled::unconnected();
    options.drivers.add(SocketDriver::format, &open_socket_image);
    options.drivers.add(ShiftFilter::format, &open_shift_over_socket);
    return options;
}

/// A disk on a server, not open yet.
struct RemoteDisk : Controlled {
    RemoteDisk() : Controlled(with_test_drivers()) {}
    ~RemoteDisk() {
        server.answers = server.greets = true;
        if (server.connected()) server.answer_all();
        if (machine.vbd().state() != Vbd::State::closed || machine.vbd().opening()) (void)machine.close();
    }

    std::string name() const { return "remote:" + server.address(); }
    ImageSpec image(const std::string& options = "") const {
        return parse_image_spec(name() + options, Access::read_write);
    }
    Json message() const { return {{"format", "remote"}, {"path", server.address()}}; }
    void open(const ImageSpec& spec) { machine.open(spec, std::make_unique<LocalImageOpener>()); }
    void serve(const std::string& options = "") {
        open(image(options));
        machine.connect();
    }
    /// Begins to open the image; the result will be in `ended` and `error`.
    void begin_opening(const ImageSpec& spec) {
        machine.vbd().open(spec, std::make_unique<LocalImageOpener>(), [this](const std::system_error* why) {
            ended = true;
            if (why != nullptr) error.emplace(*why);
        });
        machine.settle();
    }
    void lose_connection() {
        server.go_away();
        machine.settle();
    }
    void pass_time(Nanoseconds time) {
        machine.clock().advance(time);
        machine.settle();
    }

    SocketServer server{machine.loop(), machine.directory().path("server"), sectors};
    bool ended = false;
    std::optional<std::system_error> error;
};

}  // namespace

TEST_CASE("async open: the image is open when its driver says so, and others are answered meanwhile",
          "[unit][tapdisk]") {
    RemoteDisk t;
    t.server.greets = false;
    const std::uint64_t open = t.client.send("open", t.message());
    CHECK(t.client.call("stats").result.at("state") == "closed");
    CHECK(t.client.error("connect", t.frontend()) == "wrong-state");
    CHECK(t.client.error("open", t.message()) == "wrong-state");  // one at a time
    CHECK_FALSE(t.client.has_reply(open));
    t.server.greet();
    CHECK(t.client.reply(open).result.at("size-sectors") == sectors);
    CHECK(t.client.call("stats").result.at("state") == "open");
    REQUIRE(t.client.error("connect", t.frontend()).empty());
    GuestBuffer data = t.machine.pages(2);
    data.fill(8, 1);
    CHECK(t.machine.run(t.machine.write(1, 8, data)) == Status::okay);
    CHECK(std::ranges::equal(std::span(t.server.disk).subspan(8 * 512, 8192), data.get()));
    GuestBuffer back = t.machine.pages(2);
    CHECK(t.machine.run(t.machine.read(2, 8, back)) == Status::okay);
    CHECK(back.get() == data.get());
    CHECK(t.machine.run(VbdHarness::flush(3)) == Status::okay);
}

TEST_CASE("async open: a controller that opens files connects to no server", "[unit][tapdisk]") {
    RemoteDisk t;
    Json message = t.message();
    message["files"] = "controller";
    const ipc::Reply reply = t.client.call("open", message);
    CHECK(reply.error_code == "system:EOPNOTSUPP");
    CHECK_THAT(reply.error_message, Catch::Contains(t.server.address()));
    CHECK(t.server.accepted == 0);
}

TEST_CASE("async open: what fails later is the answer, and another image can be opened", "[unit][tapdisk]") {
    RemoteDisk t;
    t.server.greets = false;
    const std::uint64_t open = t.client.send("open", t.message());
    t.machine.settle();
    REQUIRE(t.server.connected());
    t.server.hang_up();
    const ipc::Reply reply = t.client.reply(open);
    CHECK(reply.error_code == "system:ENOTCONN");
    CHECK_THAT(reply.error_message, Catch::Contains(t.server.address() + ": the server hung up"));
    CHECK(t.client.call("stats").result.at("state") == "closed");
    t.server.greets = true;
    CHECK(t.client.error("open", t.message()).empty());
}

TEST_CASE("async open: an image that is closed while it is being opened is not, and leaves nothing",
          "[unit][tapdisk]") {
    RemoteDisk t;
    t.server.greets = false;
    t.begin_opening(t.image());
    REQUIRE(t.server.connected());
    CHECK_FALSE(t.ended);
    SECTION("by close") {
        CHECK_FALSE(t.machine.close());
    }
    SECTION("by the end of tapdisk") {
        CHECK_FALSE(t.machine.shut_down());
    }
    REQUIRE(t.error);
    CHECK(t.error->code() == std::errc::operation_canceled);
    CHECK(t.machine.vbd().state() == Vbd::State::closed);
    t.machine.settle();
    CHECK_FALSE(t.server.connected());
    t.server.greets = true;
    t.open(t.image());
    CHECK(t.machine.vbd().describe().size_sectors == sectors);
}

TEST_CASE("async open: the end of the client that asked ends it", "[unit][tapdisk]") {
    RemoteDisk t;
    t.server.greets = false;
    {
        ControlClient another{t.machine, t.path};
        another.send("open", t.message());
        t.machine.settle();
        REQUIRE(t.machine.vbd().opening());
    }
    t.machine.settle();
    CHECK_FALSE(t.machine.vbd().opening());
    CHECK_FALSE(t.server.connected());
    t.server.greets = true;
    CHECK(t.client.error("open", t.message()).empty());
}

TEST_CASE("async open: the guest's requests wait while a paused image is opened again", "[unit][tapdisk]") {
    RemoteDisk t;
    t.serve();
    REQUIRE_FALSE(t.machine.pause());
    t.machine.send(t.machine.read(1, 0, t.machine.pages(1)));
    t.server.greets = false;
    const std::uint64_t resume = t.client.send("resume");
    CHECK(t.client.call("stats").result.at("state") == "paused");
    CHECK(t.client.error("resume") == "wrong-state");
    CHECK_FALSE(t.machine.answered(1));
    SECTION("it opens") {
        t.server.greet();
        CHECK(t.client.reply(resume).error_code.empty());
        t.machine.settle();
        CHECK(t.machine.answer(1) == Status::okay);
    }
    SECTION("it does not: it stays paused") {
        t.server.hang_up();
        CHECK(t.client.reply(resume).error_code == "system:ENOTCONN");
        CHECK(t.client.call("stats").result.at("state") == "paused");
        t.server.greets = true;
        CHECK(t.client.error("resume").empty());
        t.machine.settle();
        CHECK(t.machine.answer(1) == Status::okay);
    }
    SECTION("the guest leaves") {
        CHECK_FALSE(t.machine.disconnect());
        t.server.greet();
        CHECK(t.client.reply(resume).error_code.empty());
    }
    SECTION("it is closed instead") {
        CHECK_FALSE(t.machine.close());
        CHECK(t.client.reply(resume).error_code == "system:ECANCELED");
    }
}

TEST_CASE("async open: a smaller image is closed again and refused", "[unit][tapdisk]") {
    RemoteDisk t;
    t.serve();
    REQUIRE_FALSE(t.machine.pause());
    t.server.disk.resize(8 * 512);
    const auto refused = thrown([&] { t.machine.resume(); });
    CHECK_THAT(refused.what(), Catch::Contains("8 sectors, but the guest was told"));
    t.machine.settle();
    CHECK_FALSE(t.server.connected());
    t.server.disk.resize(sectors * 512);
    t.machine.resume();
}

TEST_CASE("lost connection: requests wait, the operator sees it, and they go on when the server is back",
          "[unit][tapdisk]") {
    RemoteDisk t;
    t.serve();
    GuestBuffer data = t.machine.pages(1);
    data.fill(0, 7);
    t.server.answers = false;
    t.machine.send(t.machine.write(1, 0, data));
    t.machine.send(VbdHarness::flush(2));
    t.machine.settle();
    REQUIRE(t.server.waiting() == 2);
    t.lose_connection();
    t.machine.send(t.machine.read(3, 0, t.machine.pages(1)));
    t.machine.settle();
    CHECK(t.machine.unanswered_ids() == std::vector<std::uint64_t>{1, 2, 3});
    REQUIRE(t.machine.vbd().problems().problems.size() == 1);
    CHECK(t.machine.vbd().problems().problems.front().name == "io-error");
    t.pass_time(std::chrono::seconds(60));
    CHECK(t.machine.unanswered_ids() == std::vector<std::uint64_t>{1, 2, 3});

    t.server.answers = true;
    t.server.come_back();
    t.pass_time(SocketDriver::reconnect_delay);
    REQUIRE(t.server.accepted == 2);
    t.pass_time(retry_delay_max);
    CHECK(t.machine.answer(1) == Status::okay);
    CHECK(t.machine.answer(2) == Status::okay);
    CHECK(t.machine.answer(3) == Status::okay);
    CHECK(std::ranges::equal(std::span(t.server.disk).first(4096), data.get()));
    t.pass_time(problem_quiet);
    t.pass_time(problem_quiet);
    CHECK(t.machine.vbd().problems().problems.empty());
}

TEST_CASE("lost connection: an operator who says so has errors reported instead", "[unit][tapdisk]") {
    RemoteDisk t;
    t.serve("?on-error=report");
    t.server.answers = false;
    t.machine.send(t.machine.read(1, 0, t.machine.pages(1)));
    t.machine.settle();
    t.lose_connection();
    CHECK(t.machine.answer(1) == Status::error);
    t.server.come_back();
    t.pass_time(SocketDriver::reconnect_delay);
    t.server.answers = true;
    CHECK(t.machine.run(t.machine.read(2, 0, t.machine.pages(1))) == Status::okay);
}

TEST_CASE("retry: the driver says whether a request waits, whatever the error", "[unit][tapdisk]") {
    StubDisk disk;
    disk.info.waits_for_storage = true;
    VbdHarness machine{disk.options()};
    machine.send(machine.read(1, 0, machine.pages(1)));
    machine.settle();
    REQUIRE(disk.waiting() == "R");
    SECTION("never: EIO is the answer") {
        disk.retry = Retry::never;
        disk.complete(0, EIO);
        machine.settle();
        CHECK(machine.answer(1) == Status::error);
    }
    SECTION("when healthy: EPERM waits") {
        disk.retry = Retry::when_healthy;
        disk.complete(0, EPERM);
        machine.settle();
        CHECK(machine.counter("/waiting/io-error") == 1);
    }
    SECTION("when there is space: EPERM waits") {
        disk.retry = Retry::when_space;
        disk.complete(0, EPERM);
        machine.settle();
        CHECK(machine.counter("/waiting/no-space") == 1);
    }
    if (!machine.answered(1)) {
        machine.clock().advance(retry_delay_min);
        machine.settle();
        REQUIRE(disk.waiting() == "R");
        disk.complete(0);
        machine.settle();
        CHECK(machine.answer(1) == Status::okay);
    }
}

TEST_CASE("fua: a write that is durable by itself needs no flush after it", "[unit][tapdisk]") {
    StubDisk disk;
    disk.info.fua = true;
    VbdHarness machine{disk.options()};
    machine.send(machine.barrier(1, 0, machine.pages(1)));
    machine.settle();
    REQUIRE(disk.waiting() == "F");
    disk.complete(0);
    machine.settle();
    REQUIRE(disk.waiting() == "W");
    disk.complete(0);
    machine.settle();
    CHECK(machine.answer(1) == Status::okay);
    machine.send(machine.write(2, 0, machine.pages(1)));
    machine.settle();
    REQUIRE(disk.waiting() == "W");
    CHECK_FALSE(disk.fua(0));
    disk.complete(0);
    machine.settle();
}

TEST_CASE("filter: passes a guest's requests to its child, and their answers back", "[unit][tapdisk]") {
    VbdHarness::Options options;
    options.drivers.add(ShiftFilter::format, &open_shift);
    const TemporaryDirectory directory;
    const std::string path = directory.make_file("image", (sectors + 8) * 512);
    options.image = "shift:raw:" + path + "?offset=4K&buffered=yes";
    VbdHarness machine{options};
    CHECK(machine.vbd().describe().size_sectors == sectors);
    GuestBuffer data = machine.pages(4);
    data.fill(16, 3);
    CHECK(machine.run(machine.write(1, 16, data)) == Status::okay);
    CHECK(machine.run(VbdHarness::flush(2)) == Status::okay);
    GuestBuffer back = machine.pages(4);
    CHECK(machine.run(machine.read(3, 16, back)) == Status::okay);
    CHECK(back.get() == data.get());
    // The scratch is another one for each image that is opened.
    REQUIRE_FALSE(machine.pause());
    machine.resume(parse_image_spec("raw:" + path + "?buffered=yes", Access::read_write),
                   std::make_unique<LocalImageOpener>());
    GuestBuffer in_child = machine.pages(4);
    CHECK(machine.run(machine.read(4, 24, in_child)) == Status::okay);
    CHECK(in_child.get() == data.get());
}

TEST_CASE("filter: a child that cannot be opened is the filter's error", "[unit][tapdisk]") {
    RemoteDisk t;
    const auto shift = [](const std::string& child) {
        return parse_image_spec("shift:" + child + "?offset=4K", Access::read_write);
    };
    CHECK_THAT(thrown([&] { t.open(shift("raw:/no/such/file")); }).what(), Catch::Contains("/no/such/file"));
    CHECK_THAT(thrown([&] { t.open(shift("tar:/x")); }).what(), Catch::Contains("unknown format 'tar'"));
    t.server.disk.resize(4096);
    CHECK_THAT(thrown([&] { t.open(shift(t.name())); }).what(), Catch::Contains("ends before its offset"));
    t.machine.settle();
    CHECK_FALSE(t.server.connected());

    t.server.greets = false;
    t.begin_opening(shift(t.name()));
    REQUIRE(t.server.connected());
    SECTION("later") {
        t.server.hang_up();
        t.machine.settle();
        REQUIRE(t.error);
        CHECK(t.error->code() == std::errc::not_connected);
    }
    SECTION("because it is closed") {
        CHECK_FALSE(t.machine.close());
        REQUIRE(t.error);
        CHECK(t.error->code() == std::errc::operation_canceled);
        t.machine.settle();
        CHECK_FALSE(t.server.connected());
    }
    CHECK(t.machine.vbd().state() == Vbd::State::closed);
}

TEST_CASE("filter: waits for the storage as its child does", "[unit][tapdisk]") {
    RemoteDisk t;
    t.open(parse_image_spec("shift:" + t.name() + "?offset=4K", Access::read_write));
    t.machine.connect();
    t.server.answers = false;
    GuestBuffer data = t.machine.pages(1);
    data.fill(0, 5);
    t.machine.send(t.machine.write(1, 0, data));
    t.machine.settle();
    t.lose_connection();
    CHECK_FALSE(t.machine.answered(1));
    t.server.come_back();
    t.server.answers = true;
    t.pass_time(SocketDriver::reconnect_delay);
    t.pass_time(retry_delay_max);
    CHECK(t.machine.answer(1) == Status::okay);
    CHECK(std::ranges::equal(std::span(t.server.disk).subspan(4096, 4096), data.get()));
}
