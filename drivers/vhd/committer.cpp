// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/committer.hpp"

#include <unistd.h>
#include <utility>

#include "libblktap/base/error.hpp"
#include "libblktap/base/log.hpp"
#include "libblktap/base/storage_full.hpp"

namespace blktap::vhd {
namespace {

constexpr unsigned last_phase = CommitPlan::phases - 1;

}  // namespace

Committer::Committer(Core& core, Allocator& allocator)
    : core_(core),
      plan_(core.top(), core.cache(), allocator),
      ops_(CommitPlan::writes_max),
      sync_(core.io(), core.workers(), core.top().fd.get()) {
    for (WriteOp& op : ops_)
        op.committer = this;
}

void Committer::join(Task& task) noexcept {
    queue_.push_back(task);
    if (!running_) start();
}

void Committer::start() noexcept {
    if (broken_) return refuse_all();
    running_ = true;
    if (stuck_) return begin_phase(last_phase);
    gather();
    TaskList satisfied;
    satisfied.swap(satisfied_);
    if (plan_.empty()) {
        running_ = false;
    } else {
        begin_phase(0);
    }
    while (!satisfied.empty()) {
        Task& task = take_first(satisfied);
        task.next(task, {});
    }
}

void Committer::refuse_all() noexcept {
    TaskList refused;
    refused.swap(queue_);
    while (!refused.empty()) {
        Task& task = take_first(refused);
        task.next(task, broken_);
    }
}

void Committer::gather() noexcept {
    TaskList waiting;
    waiting.swap(queue_);
    while (!waiting.empty()) {
        Task& task = waiting.front();
        const CommitPlan::Added added = plan_.add(task.pending());
        if (added == CommitPlan::Added::full) break;
        waiting.pop_front();
        if (added == CommitPlan::Added::yes) {
            committing_.push_back(task);
        } else if (added == CommitPlan::Added::nothing) {
            satisfied_.push_back(task);
        } else {
            task.commit_next = task.next;
            task.committer = this;
            task.next = &slice_loaded;
            core_.load_slice(task, 0, plan_.missing_slice());
        }
    }
    queue_.splice(queue_.begin(), waiting);
}

void Committer::slice_loaded(Task& task, std::error_code error) noexcept {
    task.next = task.commit_next;
    if (error) return task.next(task, error);
    static_cast<Committer*>(task.committer)->join(task);
}

void Committer::begin_phase(unsigned phase) noexcept {
    phase_ = phase;
    phase_error_ = {};
    outstanding_ = 0;
    for (const CommitPlan::Write& write : plan_.writes()) {
        if (write.phase != phase) continue;
        WriteOp& op = ops_[outstanding_++];
        op.entry = {write.data.data(), write.data.size()};
        op.io.kind = IoOp::Kind::write;
        op.io.fd = core_.top().fd.get();
        op.io.offset_bytes = write.offset;
        op.io.data = {&op.entry, 1};
        op.io.allocates = phase < last_phase;
        op.io.completed = &piece_written;
        core_.io().stage(op.io);
    }
    if (outstanding_ == 0) phase_written();
}

void Committer::piece_written(IoOp& io) noexcept {
    Committer& self = *boost::intrusive::get_parent_from_member<WriteOp>(&io, &WriteOp::io)->committer;
    const bool cut_off = !io.error && io.remaining_bytes > 0;
    const std::error_code error = cut_off ? std::make_error_code(std::errc::io_error) : io.error;
    if (error && !self.phase_error_) self.phase_error_ = error;
    if (--self.outstanding_ == 0) self.phase_written();
}

/// Nothing leads to a block, and no bit says that a sector is written, before that is durable.
void Committer::phase_written() noexcept {
    if (phase_error_) return fail(phase_error_);
    if (phase_ < last_phase) return sync();
    succeed();
}

void Committer::sync() noexcept {
    syncing_ = true;
    sync_.start(*this, sync_request_);
}

void Committer::sync_over(std::error_code error) noexcept {
    if (std::exchange(syncing_, false) && error && !storage_full(error)) broken_ = error;
    end_flushes();
    if (error) return fail(error);
    begin_phase(phase_ + 1);
}

void Committer::end_flush(ImageRequest& request, std::error_code error) noexcept {
    if (error) return request.complete(error);
    if (!syncing_) return request.complete(broken_);
    flushes_.push_back(request.job);
}

void Committer::end_flushes() noexcept {
    while (!flushes_.empty()) {
        WorkerJob& flush = flushes_.front();
        flushes_.pop_front();
        ImageRequest::of(flush).complete(broken_);
    }
}

void Committer::succeed() noexcept {
    plan_.finish();
    stuck_ = false;
    end_tasks({});
}

void Committer::fail(std::error_code error) noexcept {
    if (phase_ < last_phase) {
        plan_.abandon();
    } else if (storage_full(error)) {
        stuck_ = true;  // what is in the file is not known: it is written again before anything else is
    } else {
        broken_ = error;
    }
    if (broken_) {
        log::error("image.broken", {{"image", core_.top().name},
                                    {"reason", error.message()},
                                    {"state", "its tables may be half written: no more writes"}});
    }
    end_tasks(error);
}

void Committer::end_tasks(std::error_code error) noexcept {
    running_ = false;
    TaskList ended;
    ended.swap(committing_);
    // Those that gathered for a group that cannot begin would wait for nothing.
    if (error && stuck_) ended.splice(ended.end(), queue_);
    while (!ended.empty()) {
        Task& task = take_first(ended);
        task.next(task, error);
    }
    core_.begin_loads();
    if (!running_ && exclusive_ != nullptr) return run_exclusively(*std::exchange(exclusive_, nullptr));
    if (!running_ && !queue_.empty()) start();
}

void Committer::run_exclusively(WorkerJob& job) noexcept {
    if (running_) {
        exclusive_ = &job;
        return;
    }
    running_ = true;
    core_.workers().start(job);
}

void Committer::end_exclusive(std::error_code error) noexcept {
    running_ = false;
    if (error && !storage_full(error)) broken_ = error;
    if (!queue_.empty()) start();
}

}  // namespace blktap::vhd
