// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/event_loop.hpp"

#include <atomic>
#include <fstream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include "tests/support/catch.hpp"
#include "tests/support/thrown.hpp"

namespace blktap {
namespace {

using namespace std::chrono_literals;

/// A descriptor that is readable from the start.
UniqueFd ready_fd() {
    return UniqueFd{::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)};
}
UniqueFd quiet_fd() {
    return UniqueFd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
}

struct Fixture {
    ManualClock clock;
    EventLoop loop{clock};
};

}  // namespace

TEST_CASE_METHOD(Fixture, "event loop: calls a handler while its descriptor is ready", "[unit][base]") {
    const UniqueFd fd = quiet_fd();
    std::uint32_t seen = 0;
    int calls = 0;
    const EventLoop::Watch watch(loop, fd.get(), EPOLLIN, [&](std::uint32_t events) {
        seen = events;
        ++calls;
    });
    loop.run_once(0ns);
    CHECK(calls == 0);
    ::eventfd_write(fd.get(), 1);
    loop.run_once();
    loop.run_once();
    CHECK(calls == 2);
    CHECK(seen == EPOLLIN);
}

TEST_CASE_METHOD(Fixture, "event loop: an edge-triggered eventfd needs no read, every write calls again",
                 "[unit][base]") {
    const UniqueFd fd = quiet_fd();
    int calls = 0;
    const EventLoop::Watch watch(loop, fd.get(), EPOLLIN | EPOLLET, [&](std::uint32_t) { ++calls; });
    for (int write = 1; write <= 3; ++write) {
        ::eventfd_write(fd.get(), 1);
        loop.run_once();
        CHECK(calls == write);
        loop.run_once(0ns);
        CHECK(calls == write);
    }
}

TEST_CASE_METHOD(Fixture, "event loop: a watch that died is not called", "[unit][base]") {
    const UniqueFd fd = ready_fd();
    int calls = 0;
    {
        const EventLoop::Watch watch(loop, fd.get(), EPOLLIN, [&](std::uint32_t) { ++calls; });
    }
    loop.run_once(0ns);
    CHECK(calls == 0);
}

TEST_CASE_METHOD(Fixture, "event loop: a handler may destroy its own watch and go on using its captures",
                 "[unit][base]") {
    const UniqueFd fd = ready_fd();
    std::optional<EventLoop::Watch> watch;
    std::string result;
    const std::string long_capture(100, 'x');
    watch.emplace(loop, fd.get(), EPOLLIN, [&watch, &result, long_capture](std::uint32_t) {
        watch.reset();
        result = long_capture;
    });
    loop.run_once();
    CHECK(result == long_capture);
    loop.run_once(0ns);
    CHECK_FALSE(watch);
}

TEST_CASE_METHOD(Fixture, "event loop: a handler may destroy a watch that is ready in the same round", "[unit][base]") {
    const UniqueFd first_fd = ready_fd();
    const UniqueFd second_fd = ready_fd();
    std::optional<EventLoop::Watch> first;
    std::optional<EventLoop::Watch> second;
    int calls = 0;
    first.emplace(loop, first_fd.get(), EPOLLIN, [&](std::uint32_t) { ++calls, second.reset(); });
    second.emplace(loop, second_fd.get(), EPOLLIN, [&](std::uint32_t) { ++calls, first.reset(); });
    loop.run_once();
    CHECK(calls == 1);
}

TEST_CASE_METHOD(Fixture, "event loop: a new watch in a dead one's memory does not get its event", "[unit][base]") {
    const UniqueFd fds[2] = {ready_fd(), ready_fd()};
    const UniqueFd other = quiet_fd();
    std::optional<EventLoop::Watch> watches[2];
    int wrong_calls = 0;
    for (int index = 0; index < 2; ++index) {
        watches[index].emplace(loop, fds[index].get(), EPOLLIN, [&, index](std::uint32_t) {
            watches[1 - index].emplace(loop, other.get(), EPOLLIN, [&](std::uint32_t) { ++wrong_calls; });
        });
    }
    loop.run_once();
    CHECK(wrong_calls == 0);
}

TEST_CASE_METHOD(Fixture, "event loop: more ready descriptors than one round takes are all served", "[unit][base]") {
    constexpr std::size_t count = 200;
    std::vector<UniqueFd> fds;
    std::vector<std::unique_ptr<EventLoop::Watch>> watches;
    std::vector<int> calls(count);
    for (std::size_t index = 0; index < count; ++index) {
        fds.push_back(ready_fd());
        watches.push_back(std::make_unique<EventLoop::Watch>(loop, fds[index].get(), EPOLLIN | EPOLLET,
                                                             [&calls, index](std::uint32_t) { ++calls[index]; }));
    }
    for (int round = 0; round < 4; ++round)
        loop.run_once(0ns);
    CHECK(calls == std::vector<int>(count, 1));
}

TEST_CASE_METHOD(Fixture, "event loop: an exception leaves the round and the handler stays in place", "[unit][base]") {
    const UniqueFd fd = ready_fd();
    int calls = 0;
    const EventLoop::Watch watch(loop, fd.get(), EPOLLIN, [&](std::uint32_t) {
        if (++calls == 1) throw std::runtime_error("once");
    });
    CHECK_THROWS_AS(loop.run_once(), std::runtime_error);
    loop.run_once();
    CHECK(calls == 2);
}

TEST_CASE_METHOD(Fixture, "event loop: a descriptor that cannot be watched throws with its number", "[unit][base]") {
    const auto error = testing::thrown([this] { EventLoop::Watch(loop, 12345, EPOLLIN, [](std::uint32_t) {}); });
    CHECK(error.code() == std::errc::bad_file_descriptor);
    CHECK(std::string{error.what()}.find("12345") != std::string::npos);
}

TEST_CASE_METHOD(Fixture, "event loop: the turn comes once a round, after the handlers and timers", "[unit][base]") {
    const UniqueFd fd = ready_fd();
    std::string order;
    const EventLoop::Watch watch(loop, fd.get(), EPOLLIN, [&](std::uint32_t) { order += 'w'; });
    EventLoop::Timer timer(loop, [&] { order += 't'; });
    timer.arm(0ns);
    loop.set_turn([&] {
        order += 'T';
        return EventLoop::Next::sleep;
    });
    loop.run_once();
    CHECK(order == "wtT");
}

TEST_CASE_METHOD(Fixture, "event loop: a turn that wants another gets new events first and does not sleep",
                 "[unit][base]") {
    const UniqueFd fd = quiet_fd();
    std::string order;
    const EventLoop::Watch watch(loop, fd.get(), EPOLLIN | EPOLLET, [&](std::uint32_t) { order += 'w'; });
    loop.set_turn([&] {
        order += 'T';
        if (order == "T") ::eventfd_write(fd.get(), 1);
        if (order.size() < 5) return EventLoop::Next::turn_again;
        loop.stop();
        return EventLoop::Next::sleep;
    });
    loop.run();  // would hang if it slept
    CHECK(order == "TwTTT");
}

TEST_CASE_METHOD(Fixture, "event loop: the first turn comes before the loop sleeps", "[unit][base]") {
    int turns = 0;
    loop.set_turn([&] {
        ++turns;
        loop.stop();
        return EventLoop::Next::sleep;
    });
    loop.run();  // would hang: there is no other event
    CHECK(turns == 1);
}

TEST_CASE_METHOD(Fixture, "event loop: run ends after the round that stopped it, and can run again", "[unit][base]") {
    const UniqueFd fd = ready_fd();
    int calls = 0;
    int turns = 0;
    const EventLoop::Watch watch(loop, fd.get(), EPOLLIN, [&](std::uint32_t) {
        if (++calls % 2 == 0) loop.stop();
    });
    loop.set_turn([&] {
        ++turns;
        return EventLoop::Next::sleep;
    });
    loop.run();
    CHECK(calls == 2);
    CHECK(turns == 2);
    loop.run();
    CHECK(calls == 4);
    loop.stop();
    loop.run();
    CHECK(calls == 4);
}

TEST_CASE_METHOD(Fixture, "event loop: an idle loop sleeps in epoll_wait without a timeout", "[unit][base]") {
    const UniqueFd stop = quiet_fd();
    const EventLoop::Watch watch(loop, stop.get(), EPOLLIN, [this](std::uint32_t) { loop.stop(); });
    const EventLoop::Timer unarmed(loop, [] {});
    std::atomic<long> thread_id = 0;
    std::thread runner([&] {
        thread_id = ::syscall(SYS_gettid);
        loop.run();
    });
    while (thread_id == 0)
        std::this_thread::yield();
    // "number arguments...": the fourth argument of epoll_wait and epoll_pwait is the timeout.
    std::string number, epoll, events, size, timeout;
    const auto is_epoll = [&number] {
#ifdef SYS_epoll_wait
        if (number == std::to_string(SYS_epoll_wait)) return true;
#endif
        return number == std::to_string(SYS_epoll_pwait);
    };
    while (!is_epoll()) {
        std::ifstream syscall("/proc/self/task/" + std::to_string(thread_id) + "/syscall");
        syscall >> number >> epoll >> events >> size >> timeout;
        std::this_thread::yield();
    }
    ::eventfd_write(stop.get(), 1);
    runner.join();
    CHECK(static_cast<int>(std::stoul(timeout, nullptr, 16)) == -1);
}

}  // namespace blktap
