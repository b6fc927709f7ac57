// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Committer: writes the changes of many requests to the image together. While one group is being written the next one
// gathers. A request is answered when its group's entries are in the file, so that answered writes survive the death of
// this process; a guest's flush makes them survive a loss of power.
//
// A group that could not be written for lack of space is undone, unless its last phase had begun: then some entries may
// be in the file. In that case the group stays, its requests are answered with the error, and its last phase is
// repeated before anything else is written. Any other failure of the last phase, or of an fdatasync, breaks the image:
// nothing is written any more, and no flush succeeds.
//
// Tested by tests/unit/qcow2/commit_test.cpp, tests/unit/vhd/commit_test.cpp and the crash tests of both formats.
#pragma once

#include <vector>

#include "drivers/shared/file_sync.hpp"
#include "drivers/tables/commit_plan.hpp"
#include "drivers/tables/image_io.hpp"

namespace blktap::tables {

class Committer {
  public:
    /// Is called at the end of each group.
    class GroupWaiter {
      public:
        /// Called on the loop's thread after every group. `error`: the group is left over, and tasks that wait for its
        /// clusters would wait in vain.
        virtual void group_over(std::error_code error) noexcept = 0;

      protected:
        ~GroupWaiter() = default;
    };

    /// `waiter` may be null. Lifetime: all outlive this. Errors: throws std::bad_alloc.
    Committer(ImageIo& image, CommitPlan& plan, GroupWaiter* waiter = nullptr);
    Committer(const Committer&) = delete;
    Committer& operator=(const Committer&) = delete;

    /// Commits the task's changes; without changes, the plan's own writes. Calls task.next with success when all are in
    /// the file, otherwise with an error: the changes that task.change_count still counts then did not happen, and the
    /// task must undo them.
    void join(Task& task) noexcept;
    /// Whether a group is left over: tables must not move, because its entries may be in the file, and are written
    /// there again.
    bool stuck() const noexcept { return stuck_; }
    /// Retries the group that is left over, if none is under way.
    void retry() noexcept;
    /// When no group is under way, calls `begun`, which may be null, and starts `job`; no group begins before
    /// end_exclusive(). One at a time.
    using Begun = void (*)(WorkerJob&) noexcept;
    void run_exclusively(WorkerJob& job, Begun begun = nullptr) noexcept;
    /// Ends run_exclusively(). An `error` other than a lack of space breaks the image.
    void end_exclusive(std::error_code error) noexcept;
    /// The error that broke the image.
    std::error_code broken() const noexcept { return broken_; }
    /// Ends a flush of the guest after its fdatasync. The kernel reports a failure only once: if a group is being made
    /// durable at this moment, its fdatasync may get the report, so the flush waits for that result.
    void end_flush(FileRequest& request, std::error_code error) noexcept;

  private:
    struct WriteOp {
        IoOp io{};
        iovec entry{};
        Committer* committer = nullptr;
    };
    void start() noexcept;
    void gather(TaskList& satisfied) noexcept;
    static void slice_loaded(Task& task, std::error_code error) noexcept;
    void begin_phase(unsigned phase) noexcept;
    static void piece_written(IoOp& io) noexcept;
    void phase_written() noexcept;
    void sync() noexcept;
    static void synced(FileRequest& request, std::error_code error) noexcept;
    void sync_over(std::error_code error) noexcept;
    void end_flushes() noexcept;
    void punch() noexcept;
    void succeed() noexcept;
    void fail(std::error_code error) noexcept;
    void end_tasks(std::error_code error) noexcept;

    ImageIo& image_;
    CommitPlan& plan_;
    GroupWaiter* const waiter_;
    TaskList queue_;                  ///< tasks for the next group
    TaskList committing_;             ///< tasks of the current group
    WaitingRequests flushes_;         ///< flushes that wait for syncing_ to end
    WorkerJob* exclusive_ = nullptr;  ///< waits for the end of a group
    Begun exclusive_begun_ = nullptr;
    std::vector<WriteOp> ops_;
    FileSync sync_;
    ImageRequest sync_request_{};
    struct OwnSync : FileRequest {
        OwnSync(ImageRequest& its_request, Committer& its_committer) noexcept
            : FileRequest(its_request), committer(its_committer) {}
        Committer& committer;
    } own_sync_{sync_request_, *this};
    WorkerJob punch_job_{};
    bool running_ = false;
    bool stuck_ = false;
    bool syncing_ = false;
    unsigned phase_ = 0;
    std::size_t outstanding_ = 0;
    std::error_code phase_error_{};
    std::error_code broken_{};
};

}  // namespace blktap::tables
