// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Files for the recovery logs of local rings: which is given to whom, and what is made of what lies in them.
#include "tapdisk/local_logs.hpp"

#include <set>
#include <sys/mman.h>
#include <unistd.h>

#include "libblktap/base/sealed_memory.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/tapdisk/controlled_disk.hpp"
#include "tests/unit/tapdisk/kept_logs.hpp"

using namespace blktap;
using namespace blktap::testing;
using Catch::Contains;

namespace {

ipc::ConnectArguments rings(const std::string& name) {
    ipc::ConnectArguments arguments;
    arguments.local = true;
    arguments.connection = name;
    arguments.queues.push_back({{0}, 0});
    return arguments;
}

struct Logs {
    ManualClock clock{};
    EventLoop loop{clock};
    std::set<ino_t> used{};
    LocalLogs logs{
        loop, {.in_use = [this](const UniqueFd& file) { return used.contains(inode_of(file)); }, .complete = [] {}}};

    std::uint64_t count(const char* what) const { return logs.stats().at(what).get<std::uint64_t>(); }
};

RecoveryLog make_log(UniqueFd file, const ipc::ConnectArguments& of, bool owes = false) {
    RecoveryLog log(std::move(file), {1, 32, identity_of(of)});
    if (owes) {
        log.queue(0).record(0, 0, 1, ring::RawRequest{});
        log.queue(0).advance(1);
    }
    return log;
}

}  // namespace

TEST_CASE("local logs: each ring has a file of its own, and what is left over is empty", "[unit][tapdisk]") {
    Logs t;
    const KeptLogs kept(3);
    t.logs.keep(kept.copies());
    t.logs.keep(kept.copies());  // the next controller's
    CHECK(t.count("logs") == 3);
    for (int i = 0; i < 3; ++i) {
        const UniqueFd file = t.logs.file_for(rings("r" + std::to_string(i)));
        REQUIRE(file);
        CHECK(t.used.insert(inode_of(file)).second);
        make_log(UniqueFd{::dup(file.get())}, rings("x"));
    }
    CHECK_FALSE(t.logs.file_for(rings("one too many")));
    t.used.clear();
    t.logs.look();
    CHECK(kept.bytes() == 0);
    CHECK(t.logs.file_for(rings("later")));
}

TEST_CASE("local logs: no more files are taken than there may be rings", "[unit][tapdisk]") {
    Logs t;
    t.logs.keep(KeptLogs(20).copies());
    CHECK(t.count("logs") == ipc::local_logs_max);
}

TEST_CASE("local logs: only a log that is whole, and of this boot, is awaited", "[unit][tapdisk]") {
    Logs t;
    const KeptLogs kept(6);
    make_log(kept.copy(0), rings("good"), true);
    REQUIRE(::ftruncate(kept.file(1).get(), 4096) == 0);  // nothing but zeros
    make_log(kept.copy(2), rings("cut"), true);
    REQUIRE(::ftruncate(kept.file(2).get(), 1000) == 0);
    RecoveryLog(kept.copy(3), {1, 32, {{1, 2, 3}, identity_of(rings("x")).frontend}});  // of another boot
    REQUIRE(::ftruncate(kept.file(4).get(), off_t{1} << 40) == 0);
    t.logs.await(kept.copies());
    CHECK(t.count("awaited") == 1);
    CHECK(t.logs.find(rings("good")));
    CHECK_THROWS_WITH(t.logs.find(rings("cut")), Contains("not awaited"));
    CHECK(kept.bytes() == static_cast<std::size_t>(kept.size(0)));
}

TEST_CASE("local logs: a failed flush is known again at once, the sequences of an accepted loss are not",
          "[unit][tapdisk]") {
    Logs t;
    const KeptLogs kept(1);
    RecoveryLog(kept.copy(0), {1, 32, identity_of(rings("a"))}).keep({StorageHealth::Kept::flush_failed, 7});
    const auto told = t.logs.await(kept.copies());
    REQUIRE(told.size() == 1);
    CHECK(told.front() == StorageHealth::Kept{StorageHealth::Kept::flush_failed, 0});
}

TEST_CASE("local logs: guests wait for rings with unanswered requests only, and for a bounded time",
          "[unit][tapdisk]") {
    Logs t;
    const KeptLogs kept(2);
    const bool owes = GENERATE(true, false);
    make_log(kept.copy(0), rings("a"), owes);
    t.logs.await(kept.copies());
    CHECK(t.logs.wait() == owes);
    t.clock.advance(LocalLogs::patience);
    CHECK_FALSE(t.logs.wait());
    t.logs.give_up();
    CHECK(t.count("given-up") == (owes ? 1 : 0));
    CHECK(t.count("lost-requests") == (owes ? 1 : 0));
    CHECK(t.count("awaited") == (owes ? 0 : 1));
}

TEST_CASE("local logs: a ring that does not come back is in nobody's way", "[unit][tapdisk]") {
    Logs t;
    const KeptLogs kept(1);
    make_log(kept.copy(0), rings("a"));
    t.logs.await(kept.copies());
    const UniqueFd file = t.logs.file_for(rings(GENERATE("a", "another")));
    REQUIRE(file);
    CHECK(t.count("awaited") == 0);
    CHECK_THROWS_AS(t.logs.find(rings("a")), std::system_error);
}

TEST_CASE("control: a program comes back by \"adopt\" with its memory alone", "[unit][tapdisk]") {
    Controlled t;
    const KeptLogs kept(7);
    CHECK(t.client.error("give-logs") == "bad-message");
    CHECK(t.client.error("give-logs", ipc::Json::object(), kept.numbers()).empty());
    const SealedMemory memory = SealedMemory::create("test", 16 * page_size_bytes);
    ring::FrontRing ring(memory.bytes().first(page_size_bytes), ring::Protocol::native);
    ipc::ConnectArguments arguments = rings("export");
    arguments.until_hangup = true;
    ControlClient program(t.machine, t.path);
    CHECK(program.error("adopt", arguments, {memory.fd()}) == "system:EAGAIN");
    REQUIRE(t.client.error("open", t.image()).empty());
    CHECK(program.error("adopt", arguments, {memory.fd()}) == "wrong-state");
    REQUIRE(program.error("connect", arguments, {memory.fd()}).empty());
    CHECK(t.client.call("stats").result.at("connections").at(0).at("recoverable") == true);
    CHECK(kept.bytes() > 0);

    t.server.reset();
    REQUIRE_FALSE(t.machine.shut_down());
    t.machine.replace_tapdisk();
    t.server.emplace(t.machine.loop(), t.machine.vbd(), t.listener, ControlServer::Self{::getpid(), t.sandbox});
    ControlClient controller(t.machine, t.path);
    ControlClient again(t.machine, t.path);
    const ipc::Json device{{"size-sectors", 16 * 1024}, {"read-only", false}};
    REQUIRE(controller.error("recover", {{"image", t.image()}, {"device", device}}, kept.numbers()).empty());
    CHECK(controller.error("give-logs", ipc::Json::object(), kept.numbers()).empty());  // no other files
    CHECK(controller.call("stats").result.at("local-rings").at("awaited") == 1);
    REQUIRE(controller.error("resume").empty());
    const ipc::Reply reply = again.call("adopt", arguments, {memory.fd()});
    CHECK(reply.error_message == "");
    CHECK(reply.descriptors.size() == 2);
    CHECK(again.error("stats") == "system:EPERM");  // others may control the program from now on
    CHECK(controller.call("stats").result.at("connections").at(0).at("name") == "export");
}
