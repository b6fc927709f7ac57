// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// WorkerPool: a few threads for calls that may block (fallocate, an unaligned write, reading a table), so that the
// loop's thread never blocks. Jobs are embedded in their owner's objects: queueing allocates nothing. Threads start
// with the first job and sleep without wake-ups when there is no job.
//
// Tested by tests/unit/base/worker_pool_test.cpp.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <pthread.h>
#include <vector>

#include <boost/intrusive/slist.hpp>

#include "libblktap/base/event_loop.hpp"

namespace blktap {

/// A piece of blocking work. `run` is called once on a worker's thread, then `done` once on the loop's thread.
struct WorkerJob : boost::intrusive::slist_base_hook<boost::intrusive::link_mode<boost::intrusive::safe_link>> {
    void (*run)(WorkerJob&) noexcept = nullptr;
    void (*done)(WorkerJob&) noexcept = nullptr;
};

class WorkerPool {
  public:
    /// Completions are delivered by `loop`, which must outlive the pool. With no threads at all, every job runs where
    /// it is started. Errors: throws std::system_error (EMFILE).
    WorkerPool(EventLoop& loop, unsigned thread_count);
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;
    /// All jobs must be done, because a running job uses memory of its owner. Joins the idle threads. The last job's
    /// `done` may destroy the pool.
    ~WorkerPool();

    /// Queues `job`, which lives until its `done`. Context: loop thread. If no thread can be started, the job runs at
    /// once on the calling thread and its `done` still comes through the loop.
    void start(WorkerJob& job) noexcept;
    /// Jobs started whose `done` has not run.
    std::size_t unfinished() const noexcept { return unfinished_; }

  private:
    using JobList = boost::intrusive::slist<WorkerJob, boost::intrusive::cache_last<true>>;
    void start_thread() noexcept;
    void work() noexcept;
    void run_queued() noexcept;
    void run_first(std::unique_lock<std::mutex>& lock) noexcept;
    void deliver() noexcept;

    const unsigned thread_count_;
    std::mutex mutex_;
    std::condition_variable wanted_;
    JobList queued_;             ///< guarded by mutex_
    JobList finished_;           ///< guarded by mutex_
    unsigned idle_threads_ = 0;  ///< guarded by mutex_
    bool stopping_ = false;      ///< guarded by mutex_
    std::size_t unfinished_ = 0;
    UniqueFd finished_event_;
    std::vector<pthread_t> threads_;  ///< not std::thread, which cannot have a small stack
    EventLoop::Watch watch_;
};

}  // namespace blktap
