// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/committer.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "drivers/qcow2/table_io.hpp"
#include "libblktap/base/assert.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/log.hpp"
#include "libblktap/base/storage_full.hpp"

namespace blktap::qcow2 {
namespace {

constexpr unsigned last_phase = CommitPlan::phases - 1;

}  // namespace

Committer::Committer(Core& core, WriteMap& map, void* owner, Over over)
    : core_(core),
      owner_(owner),
      over_(over),
      plan_(map),
      ops_(CommitPlan::writes_max),
      sync_(core.io(), core.workers(), core.top().fd.get(), core.top().data_fd.get()) {
    for (WriteOp& op : ops_)
        op.committer = this;
}

bool Committer::left_over(std::uint64_t guest_cluster, std::uint64_t count) const noexcept {
    return stuck_ && std::ranges::any_of(plan_.changes(),
                                         [=](const Change& change) { return change.overlaps(guest_cluster, count); });
}

void Committer::join(Task& task) noexcept {
    queue_.push_back(task);
    if (!running_) start();
}

void Committer::retry() noexcept {
    if (!running_) start();
}

void Committer::start() noexcept {
    if (broken_) {
        TaskList refused;
        refused.swap(queue_);
        while (!refused.empty()) {
            Task& task = take_first(refused);
            task.next(task, broken_);
        }
        return;
    }
    running_ = true;
    if (stuck_) return begin_phase(last_phase);
    gather();
    if (!plan_.empty()) return begin_phase(0);
    if (!committing_.empty()) return end_tasks({});  // nothing was to be written after all
    running_ = false;
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
        } else {
            task.commit_next = task.next;
            task.committer = this;
            task.next = &slice_loaded;
            core_.load_slice(task, 0, plan_.missing_slice());
        }
    }
    queue_.splice(queue_.begin(), waiting);
    // With room for nothing else: the many refcounts that a discard has changed.
    const bool wanted = !committing_.empty() || !queue_.empty();
    if (wanted) plan_.seal();
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
    if (io.error && !self.phase_error_) self.phase_error_ = io.error;
    if (--self.outstanding_ == 0) self.phase_written();
}

/// What follows: nothing leads to this phase's pieces before they are durable, and nothing that they let go is free.
void Committer::phase_written() noexcept {
    if (phase_error_) return fail(phase_error_);
    const bool wrote = std::ranges::find(plan_.writes(), phase_, &CommitPlan::Write::phase) != plan_.writes().end();
    const bool leads = std::ranges::find(plan_.writes(), last_phase, &CommitPlan::Write::phase) != plan_.writes().end();
    const bool wanted = (phase_ == 0 && wrote) || (phase_ == 1 && leads) || (phase_ == last_phase && plan_.frees());
    if (wanted) return sync();
    sync_over({});
}

void Committer::sync() noexcept {
    syncing_ = true;
    sync_.start(*this, sync_request_);
}

void Committer::sync_over(std::error_code error) noexcept {
    if (std::exchange(syncing_, false) && error && !storage_full(error)) broken_ = error;
    end_flushes();
    if (error) return fail(error);
    if (phase_ < last_phase) return begin_phase(phase_ + 1);
    punch();
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

/// Gives the file system back what the guest discarded. That it cannot be given back is no error.
void Committer::punch() noexcept {
    if (plan_.punches().empty()) return succeed();
    job_.run = [](WorkerJob& job) noexcept {
        Committer& self = *boost::intrusive::get_parent_from_member<Committer>(&job, &Committer::job_);
        for (const CommitPlan::Punch& punch : self.plan_.punches()) {
            (void)::fallocate(self.core_.top().data_descriptor(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                              static_cast<off_t>(punch.offset), static_cast<off_t>(punch.length));
        }
    };
    job_.done = [](WorkerJob& job) noexcept {
        boost::intrusive::get_parent_from_member<Committer>(&job, &Committer::job_)->succeed();
    };
    core_.workers().start(job_);
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
        // What leads where is not known: the entries are written again before anything else is.
        stuck_ = true;
        for (Task& task : committing_)
            task.change_count = 0;
    } else {
        broken_ = error;
        for (Task& task : committing_)
            task.change_count = 0;
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
    // Those that gathered for a group that could not begin have lost nothing but time.
    if (error && stuck_) ended.splice(ended.end(), queue_);
    while (!ended.empty()) {
        Task& task = take_first(ended);
        task.next(task, error);
    }
    over_(owner_, stuck_ ? error : std::error_code{});
    core_.begin_loads();
    if (!running_ && exclusive_ != nullptr)
        return run_exclusively(*std::exchange(exclusive_, nullptr), exclusive_begun_);
    if (!running_ && !queue_.empty()) start();
}

void Committer::run_exclusively(WorkerJob& job, Begun begun) noexcept {
    if (running_) {
        exclusive_ = &job;
        exclusive_begun_ = begun;
        return;
    }
    running_ = true;
    begun(job);
    core_.workers().start(job);
}

void Committer::end_exclusive(std::error_code error) noexcept {
    running_ = false;
    if (error && !storage_full(error)) broken_ = error;
    if (!queue_.empty()) start();
}

}  // namespace blktap::qcow2
