// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/worker_pool.hpp"

#include <csignal>
#include <sys/eventfd.h>

#include "libblktap/base/assert.hpp"
#include "libblktap/base/error.hpp"

namespace blktap {
namespace {

/// Enough for file system calls and the metadata code of image formats; the default of 8 MiB would reserve memory that
/// no job uses.
constexpr std::size_t stack_size_bytes = 256 * 1024;

UniqueFd make_event() {
    UniqueFd event{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (!event) throw_system_error("eventfd");
    return event;
}

}  // namespace

WorkerPool::WorkerPool(EventLoop& loop, unsigned thread_count)
    : thread_count_(thread_count),
      finished_event_(make_event()),
      // Edge-triggered: every write of the eventfd is an edge, and nobody needs to read it.
      watch_(loop, finished_event_.get(), EPOLLIN | EPOLLET, [this](std::uint32_t) { deliver(); }) {
    threads_.reserve(thread_count_);
}

WorkerPool::~WorkerPool() {
    BLKTAP_ASSERT(unfinished_ == 0);
    {
        const std::lock_guard lock{mutex_};
        stopping_ = true;
    }
    wanted_.notify_all();
    for (const pthread_t thread : threads_)
        ::pthread_join(thread, nullptr);
}

void WorkerPool::start(WorkerJob& job) noexcept {
    ++unfinished_;
    bool thread_wanted = false;
    {
        const std::lock_guard lock{mutex_};
        queued_.push_back(job);
        thread_wanted = idle_threads_ < queued_.size();
    }
    if (thread_wanted && threads_.size() < thread_count_) start_thread();
    if (threads_.empty()) {
        run_queued();
    } else {
        wanted_.notify_one();
    }
}

/// Failing to start a thread is no error: the existing threads, or the caller, do the work.
void WorkerPool::start_thread() noexcept {
    pthread_attr_t attributes;
    if (::pthread_attr_init(&attributes) != 0) return;
    // Signals belong to the loop's thread: a worker must neither be interrupted nor receive a signal for the loop.
    sigset_t every_signal;
    ::sigfillset(&every_signal);
    ::sigdelset(&every_signal, SIGSYS);  // of a forbidden system call, whose thread reports it
    const auto entry = [](void* pool) -> void* {
        static_cast<WorkerPool*>(pool)->work();
        return nullptr;
    };
    pthread_t thread;
    if (::pthread_attr_setstacksize(&attributes, stack_size_bytes) == 0 &&
        ::pthread_attr_setsigmask_np(&attributes, &every_signal) == 0 &&
        ::pthread_create(&thread, &attributes, entry, this) == 0) {
        threads_.push_back(thread);
    }
    ::pthread_attr_destroy(&attributes);
}

void WorkerPool::work() noexcept {
    std::unique_lock lock{mutex_};
    for (;;) {
        ++idle_threads_;
        wanted_.wait(lock, [this] { return stopping_ || !queued_.empty(); });
        --idle_threads_;
        if (queued_.empty()) return;
        run_first(lock);
    }
}

void WorkerPool::run_queued() noexcept {
    std::unique_lock lock{mutex_};
    while (!queued_.empty())
        run_first(lock);
}

void WorkerPool::run_first(std::unique_lock<std::mutex>& lock) noexcept {
    WorkerJob& job = queued_.front();
    queued_.pop_front();
    lock.unlock();
    job.run(job);
    lock.lock();
    // One wake-up for all jobs that finish before the loop delivers them.
    if (finished_.empty()) ::eventfd_write(finished_event_.get(), 1);
    finished_.push_back(job);
}

void WorkerPool::deliver() noexcept {
    JobList jobs;
    {
        const std::lock_guard lock{mutex_};
        jobs.swap(finished_);
    }
    // The last `done` may destroy this pool: only `jobs` is touched after it.
    while (!jobs.empty()) {
        WorkerJob& job = jobs.front();
        jobs.pop_front();
        --unfinished_;
        job.done(job);
    }
}

}  // namespace blktap
