// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The recovery log: at every moment it lists exactly the unanswered requests for a successor, and its reader trusts no
// byte of it.
#include "tapdisk/ring/recovery_log.hpp"

#include <cstring>
#include <random>

#include "tests/support/catch.hpp"

using namespace blktap;

namespace {

ring::RawRequest request_with_id(std::uint64_t id) {
    ring::RawRequest request{};
    request.id = id;
    return request;
}

std::vector<std::uint64_t> unanswered_ids(const RecoveryLog& log) {
    std::vector<std::uint64_t> ids;
    const auto contents = read_log(log.bytes());
    for (const auto& request : contents.value().unanswered)
        ids.push_back(request.request.id);
    return ids;
}

}  // namespace

TEST_CASE("recovery log: a new log says that nothing is unanswered", "[unit][tapdisk]") {
    RecoveryLog log(make_anonymous_log_file(), {2, 32});
    const auto contents = read_log(log.bytes());
    REQUIRE(contents);
    CHECK(contents.value().queues.size() == 2);
    CHECK(contents.value().unanswered.empty());
}

TEST_CASE("recovery log: requests of all queues are told in the order in which they came", "[unit][tapdisk]") {
    RecoveryLog log(make_anonymous_log_file(), {2, 32});
    log.queue(1).record(5, 0, 1, request_with_id(100));
    log.queue(1).advance(1);
    log.queue(0).record(9, 0, 2, request_with_id(200));
    log.queue(0).advance(1);
    log.queue(1).record(4, 1, 3, request_with_id(300));
    log.queue(1).advance(2);
    CHECK(unanswered_ids(log) == std::vector<std::uint64_t>{100, 200, 300});
}

TEST_CASE("recovery log: a request whose index was not yet passed is left to the ring", "[unit][tapdisk]") {
    RecoveryLog log(make_anonymous_log_file(), {1, 32});
    log.queue(0).record(0, 0, 1, request_with_id(1));
    CHECK(unanswered_ids(log).empty());
    log.queue(0).advance(1);
    CHECK(unanswered_ids(log) == std::vector<std::uint64_t>{1});
}

TEST_CASE("recovery log: during a publication both producers and its slots are told", "[unit][tapdisk]") {
    RecoveryLog log(make_anonymous_log_file(), {1, 32});
    for (std::uint16_t i = 0; i < 3; ++i)
        log.queue(0).record(i, i, i + 1, request_with_id(i + 10u));
    log.queue(0).advance(3);
    const std::uint16_t answered[] = {2, 0};
    log.queue(0).begin_publish(0, 2, answered);
    const auto contents = read_log(log.bytes());
    REQUIRE(contents);
    CHECK(contents.value().queues[0].publishing);
    CHECK(contents.value().queues[0].old_producer == 0);
    CHECK(contents.value().queues[0].new_producer == 2);
    CHECK(contents.value().queues[0].published == std::vector<std::uint16_t>{2, 0});
    CHECK(contents.value().unanswered.size() == 3);
    log.queue(0).end_publish();
    CHECK(unanswered_ids(log) == std::vector<std::uint64_t>{11});
}

TEST_CASE("recovery log: a successor that dies while it ends a publication leaves a log that can be read",
          "[unit][tapdisk]") {
    RecoveryLog log(make_anonymous_log_file(), {1, 32});
    for (std::uint16_t i = 0; i < 3; ++i)
        log.queue(0).record(i, i, i + 1, request_with_id(i + 10u));
    log.queue(0).advance(3);
    const std::uint16_t answered[] = {2, 0};
    log.queue(0).begin_publish(0, 2, answered);
    const std::uint32_t responses_published = GENERATE(0u, 2u);
    INFO(responses_published);
    REQUIRE(log.queue(0).settle(responses_published));
    // The last store of it is not made yet.
    auto& queue = *reinterpret_cast<log_layout::QueueHeader*>(const_cast<std::byte*>(log.bytes().data()) +
                                                              sizeof(log_layout::Header));
    queue.publishing = 1;
    REQUIRE(read_log(log.bytes()));
    REQUIRE(log.queue(0).settle(responses_published));
    CHECK(unanswered_ids(log) ==
          (responses_published == 0 ? std::vector<std::uint64_t>{10, 11, 12} : std::vector<std::uint64_t>{11}));
}

TEST_CASE("recovery log: ring indices that wrap keep their order", "[unit][tapdisk]") {
    RecoveryLog log(make_anonymous_log_file(), {1, 32});
    log.queue(0).advance(0xffffffff);
    log.queue(0).record(0, 0xffffffff, 1, request_with_id(1));
    log.queue(0).advance(0);
    CHECK(unanswered_ids(log) == std::vector<std::uint64_t>{1});
}

TEST_CASE("recovery log: a file used before starts empty", "[unit][tapdisk]") {
    RecoveryLog first(make_anonymous_log_file(), {1, 64});
    first.queue(0).record(0, 0, 1, request_with_id(1));
    first.queue(0).advance(1);
    RecoveryLog second(first.take_file(), {2, 32});
    CHECK(unanswered_ids(second).empty());
}

TEST_CASE("recovery log: the reader refuses another magic, version or size", "[unit][tapdisk]") {
    RecoveryLog log(make_anonymous_log_file(), {1, 32});
    std::vector<std::byte> bytes(log.bytes().begin(), log.bytes().end());
    SECTION("too short") {
        CHECK(read_log(std::span(bytes).first(bytes.size() - 1)).error() == Errc::bad_message);
    }
    SECTION("empty") {
        CHECK(read_log({}).error() == Errc::bad_message);
    }
    SECTION("magic") {
        bytes[0] = std::byte{0};
        CHECK(read_log(bytes).error() == Errc::bad_message);
    }
    SECTION("version") {
        bytes[8] = std::byte{3};
        CHECK(read_log(bytes).error() == Errc::bad_version);
    }
}

TEST_CASE("recovery log: no bytes make the reader do anything but answer", "[unit][tapdisk]") {
    RecoveryLog log(make_anonymous_log_file(), {2, 32});
    const std::vector<std::byte> good(log.bytes().begin(), log.bytes().end());
    std::mt19937 random(11);
    std::size_t refused = 0;
    for (int round = 0; round < 5000; ++round) {
        auto bytes = good;
        const std::size_t changes = 1 + random() % 16;
        for (std::size_t i = 0; i < changes; ++i) {
            const std::size_t where = random() % (random() % 2 == 0 ? 64 : bytes.size());
            bytes[where] = static_cast<std::byte>(random());
        }
        const auto contents = read_log(bytes);
        if (!contents) {
            ++refused;
            continue;
        }
        for (const auto& request : contents.value().unanswered)
            REQUIRE(request.slot < 512);
    }
    CHECK(refused > 0);
}
