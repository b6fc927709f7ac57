// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/tables/committer.hpp"

#include <fcntl.h>
#include <utility>

#include "libblktap/base/error.hpp"
#include "libblktap/base/log.hpp"
#include "libblktap/base/storage_full.hpp"

namespace blktap::tables {

Committer::Committer(ImageIo& image, CommitPlan& plan, GroupWaiter* waiter)
    : image_(image),
      plan_(plan),
      waiter_(waiter),
      ops_(plan.capacity()),
      sync_(image.io(), image.workers(), &synced, image.top_file().fd.get(), image.top_file().data_fd.get()) {
    for (WriteOp& op : ops_)
        op.committer = this;
}

void Committer::join(Task& task) noexcept {
    queue_.push_back(task);
    if (!running_) start();
}

void Committer::retry() noexcept {
    if (!running_) start();
}

void Committer::start() noexcept {
    if (broken_) return go_on_all(queue_, broken_);
    running_ = true;
    if (stuck_) return begin_phase(plan_.last_phase());
    TaskList satisfied;
    gather(satisfied);
    if (!plan_.empty()) {
        begin_phase(0);
    } else if (!committing_.empty()) {
        end_tasks({});  // there was nothing to write
    } else {
        running_ = false;
    }
    go_on_all(satisfied, {});
}

/// Takes as many tasks as the next group has room for. `satisfied`: tasks whose changes earlier groups have made.
void Committer::gather(TaskList& satisfied) noexcept {
    TaskList waiting;
    waiting.swap(queue_);
    while (!waiting.empty()) {
        Task& task = waiting.front();
        const CommitPlan::Added added = plan_.add(task);
        if (added == CommitPlan::Added::full) break;
        waiting.pop_front();
        if (added == CommitPlan::Added::yes) {
            committing_.push_back(task);
        } else if (added == CommitPlan::Added::nothing) {
            satisfied.push_back(task);
        } else {
            task.commit_next = task.next;
            task.committer = this;
            task.next = &slice_loaded;
            image_.load_slice(task, 0, plan_.missing_slice());
        }
    }
    queue_.splice(queue_.begin(), waiting);
    // A plan may be full of its own writes and take no task.
    if (!committing_.empty() || !queue_.empty()) plan_.seal();
}

void Committer::slice_loaded(Task& task, std::error_code error) noexcept {
    task.next = task.commit_next;
    if (error) return task.next(task, error);
    task.committer->join(task);
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
        op.io.fd = image_.top_file().fd.get();
        op.io.offset_bytes = write.offset;
        op.io.data = {&op.entry, 1};
        op.io.allocates = phase < plan_.last_phase();
        op.io.completed = &piece_written;
        image_.io().stage(op.io);
    }
    if (outstanding_ == 0) phase_written();
}

void Committer::piece_written(IoOp& io) noexcept {
    Committer& self = *boost::intrusive::get_parent_from_member<WriteOp>(&io, &WriteOp::io)->committer;
    if (io.error && !self.phase_error_) self.phase_error_ = io.error;
    if (--self.outstanding_ == 0) self.phase_written();
}

void Committer::phase_written() noexcept {
    if (phase_error_) return fail(phase_error_);
    if (plan_.is_barrier(phase_)) return sync();
    sync_over({});
}

void Committer::sync() noexcept {
    syncing_ = true;
    sync_.start(own_sync_);
}

void Committer::synced(FileRequest& request, std::error_code error) noexcept {
    static_cast<OwnSync&>(request).committer.sync_over(error);
}

void Committer::sync_over(std::error_code error) noexcept {
    if (std::exchange(syncing_, false) && error && !storage_full(error)) broken_ = error;
    end_flushes();
    if (error) return fail(error);
    if (phase_ < plan_.last_phase()) return begin_phase(phase_ + 1);
    punch();
}

void Committer::end_flush(FileRequest& request, std::error_code error) noexcept {
    if (error) return request.complete(error);
    if (!syncing_) return request.complete(broken_);
    flushes_.push_back(request.job);
}

void Committer::end_flushes() noexcept {
    while (!flushes_.empty()) {
        take_first(flushes_).complete(broken_);
    }
}

/// Frees the space that the guest discarded. A failure is no error.
void Committer::punch() noexcept {
    if (plan_.punches().empty()) return succeed();
    punch_job_.run = [](WorkerJob& job) noexcept {
        const Committer& self = *boost::intrusive::get_parent_from_member<Committer>(&job, &Committer::punch_job_);
        for (const CommitPlan::Punch& punch : self.plan_.punches()) {
            (void)::fallocate(self.image_.top_file().data_descriptor(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                              static_cast<off_t>(punch.offset), static_cast<off_t>(punch.length));
        }
    };
    punch_job_.done = [](WorkerJob& job) noexcept {
        boost::intrusive::get_parent_from_member<Committer>(&job, &Committer::punch_job_)->succeed();
    };
    image_.workers().start(punch_job_);
}

void Committer::succeed() noexcept {
    plan_.finish();
    stuck_ = false;
    end_tasks({});
}

void Committer::fail(std::error_code error) noexcept {
    if (phase_ < plan_.last_phase()) {
        plan_.abandon();
    } else {
        // It is unknown which entries were written. After a lack of space they are written again before anything else.
        if (storage_full(error)) {
            stuck_ = true;
        } else {
            broken_ = error;
        }
        for (Task& task : committing_)
            task.change_count = 0;
    }
    if (broken_) {
        log::error("image.broken", {{"image", image_.top_file().name},
                                    {"reason", error.message()},
                                    {"state", "its tables may be half written: no more writes"}});
    }
    end_tasks(error);
}

void Committer::end_tasks(std::error_code error) noexcept {
    running_ = false;
    TaskList ended;
    ended.swap(committing_);
    // Tasks that gathered for a group that could not begin have only lost time.
    if (error && stuck_) ended.splice(ended.end(), queue_);
    go_on_all(ended, error);
    if (waiter_ != nullptr) waiter_->group_over(stuck_ ? error : std::error_code{});
    image_.begin_loads();
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
    if (begun != nullptr) begun(job);
    image_.workers().start(job);
}

void Committer::end_exclusive(std::error_code error) noexcept {
    running_ = false;
    if (error && !storage_full(error)) broken_ = error;
    if (!queue_.empty()) start();
}

}  // namespace blktap::tables
