// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/worker_pool.hpp"

#include <array>
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "tests/support/catch.hpp"

namespace blktap {
namespace {

using namespace std::chrono_literals;

/// A job that notes who called what.
struct NotingJob : WorkerJob {
    NotingJob() {
        run = [](WorkerJob& job) noexcept { static_cast<NotingJob&>(job).ran_on = std::this_thread::get_id(); };
        done = [](WorkerJob& job) noexcept {
            auto& self = static_cast<NotingJob&>(job);
            self.done_on = std::this_thread::get_id();
            ++self.times_done;
        };
    }
    std::thread::id ran_on;
    std::thread::id done_on;
    int times_done = 0;
};

struct Fixture {
    const MonotonicClock clock;
    EventLoop loop{clock};
    void finish(const WorkerPool& pool) {
        while (pool.unfinished() > 0)
            loop.run_once();
    }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "worker pool: runs a job on another thread and ends it on the loop's", "[unit][base]") {
    WorkerPool pool(loop, 2);
    NotingJob job;
    pool.start(job);
    CHECK(pool.unfinished() == 1);
    finish(pool);
    CHECK(job.times_done == 1);
    CHECK(job.ran_on != std::thread::id{});
    CHECK(job.ran_on != std::this_thread::get_id());
    CHECK(job.done_on == std::this_thread::get_id());
}

TEST_CASE_METHOD(Fixture, "worker pool: every one of many jobs is done once", "[unit][base]") {
    WorkerPool pool(loop, 4);
    std::vector<NotingJob> jobs(2000);
    for (NotingJob& job : jobs)
        pool.start(job);
    finish(pool);
    for (const NotingJob& job : jobs)
        REQUIRE(job.times_done == 1);
}

TEST_CASE_METHOD(Fixture, "worker pool: as many jobs block at once as it has threads", "[unit][base]") {
    struct Meeting {
        std::mutex mutex;
        std::condition_variable changed;
        int arrived = 0;
    } meeting;
    struct MeetingJob : WorkerJob {
        Meeting* meeting = nullptr;
    };
    WorkerPool pool(loop, 3);
    std::array<MeetingJob, 3> jobs;
    for (MeetingJob& job : jobs) {
        job.meeting = &meeting;
        job.run = [](WorkerJob& base) noexcept {
            Meeting& here = *static_cast<MeetingJob&>(base).meeting;
            std::unique_lock lock{here.mutex};
            ++here.arrived;
            here.changed.notify_all();
            here.changed.wait(lock, [&here] { return here.arrived == 3; });
        };
        job.done = [](WorkerJob&) noexcept {};
        pool.start(job);
    }
    finish(pool);  // would hang if one job waited for another's thread
    CHECK(meeting.arrived == 3);
}

TEST_CASE_METHOD(Fixture, "worker pool: one job after the other uses one thread", "[unit][base]") {
    WorkerPool pool(loop, 4);
    std::array<NotingJob, 20> jobs;
    for (NotingJob& job : jobs) {
        pool.start(job);
        finish(pool);
        CHECK(job.ran_on == jobs[0].ran_on);
    }
}

TEST_CASE_METHOD(Fixture, "worker pool: without threads a job runs at once and still ends through the loop",
                 "[unit][base]") {
    WorkerPool pool(loop, 0);
    std::array<NotingJob, 3> jobs;
    for (NotingJob& job : jobs) {
        pool.start(job);
        CHECK(job.ran_on == std::this_thread::get_id());
        CHECK(job.times_done == 0);
    }
    loop.run_once();
    for (const NotingJob& job : jobs)
        CHECK(job.times_done == 1);
    CHECK(pool.unfinished() == 0);
}

TEST_CASE_METHOD(Fixture, "worker pool: a worker takes no signals", "[unit][base]") {
    struct MaskJob : WorkerJob {
        sigset_t mask{};
    } job;
    job.run = [](WorkerJob& base) noexcept {
        ::pthread_sigmask(SIG_SETMASK, nullptr, &static_cast<MaskJob&>(base).mask);
    };
    job.done = [](WorkerJob&) noexcept {};
    WorkerPool pool(loop, 1);
    pool.start(job);
    finish(pool);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGUSR1})
        CHECK(sigismember(&job.mask, signal) == 1);
    sigset_t own;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &own);
    CHECK(sigismember(&own, SIGTERM) == 0);
}

TEST_CASE_METHOD(Fixture, "worker pool: a job may be started again when it is done", "[unit][base]") {
    struct AgainJob : WorkerJob {
        WorkerPool* pool = nullptr;
        int left = 5;
        std::atomic<int> runs = 0;
    } job;
    WorkerPool pool(loop, 2);
    job.pool = &pool;
    job.run = [](WorkerJob& base) noexcept { ++static_cast<AgainJob&>(base).runs; };
    job.done = [](WorkerJob& base) noexcept {
        auto& self = static_cast<AgainJob&>(base);
        if (--self.left > 0) self.pool->start(self);
    };
    pool.start(job);
    finish(pool);
    CHECK(job.runs == 5);
}

TEST_CASE_METHOD(Fixture, "worker pool: the end of the last job may destroy the pool", "[unit][base]") {
    struct LastJob : WorkerJob {
        std::optional<WorkerPool>* pool = nullptr;
    } job;
    std::optional<WorkerPool> pool;
    pool.emplace(loop, 2U);
    job.pool = &pool;
    job.run = [](WorkerJob&) noexcept {};
    job.done = [](WorkerJob& base) noexcept { static_cast<LastJob&>(base).pool->reset(); };
    pool->start(job);
    while (pool)
        loop.run_once();
    loop.run_once(0ns);
    CHECK_FALSE(pool);
}

TEST_CASE_METHOD(Fixture, "worker pool: one that never got a job has no thread to join", "[unit][base]") {
    const WorkerPool pool(loop, 8);
    CHECK(pool.unfinished() == 0);
    loop.run_once(0ns);
}

}  // namespace blktap
