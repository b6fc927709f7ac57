// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Committer: makes the changes of many requests part of the image together. While one group is being written the next
// one gathers. A request is answered when its group's entries are in the file, so that what was answered survives
// the death of this process; a guest's flush makes it survive a loss of power.
//
// A group whose tables could not be written (no space) is undone, unless its last phase had begun: then some entries
// may be in the file. It stays, its requests are answered with the error, and its last phase is repeated with the next
// group. Any other failure of the last phase, or of making something durable, breaks the image: nothing is written any
// more, and no flush succeeds.
//
// Tested by tests/unit/qcow2/commit_test.cpp and tests/crash/qcow2_crash_test.cpp.
#pragma once

#include <vector>

#include "drivers/qcow2/commit_plan.hpp"
#include "drivers/qcow2/core.hpp"
#include "drivers/shared/file_sync.hpp"

namespace blktap::qcow2 {

class Committer {
  public:
    /// Told on the loop's thread of every group that is over; requests may wait for its clusters. With an error when
    /// they would wait in vain, because it is left over.
    using Over = void (*)(void* owner, std::error_code) noexcept;

    /// Lifetime: all outlive this. Errors: throws std::system_error (ENOMEM).
    Committer(Core& core, WriteMap& map, void* owner, Over over);
    Committer(const Committer&) = delete;
    Committer& operator=(const Committer&) = delete;

    /// Commits task.pending(), which may be nothing but the refcounts that have changed. task.next is called with
    /// success when all of it is in the file; with an error otherwise: what is still pending then did not happen, and
    /// is the task's to undo.
    void join(Task& task) noexcept;
    /// Clusters whose group could not be finished; they wait for space, or for good.
    bool left_over(std::uint64_t guest_cluster, std::uint64_t count) const noexcept;
    /// A group is left over: tables must stay where they are, for its entries may be in the file, and are written there
    /// again.
    bool stuck() const noexcept { return stuck_; }
    /// Tries the group that is left over again, if nothing is under way.
    void retry() noexcept;
    /// When no group is under way, calls `begun` and starts `job`; none is until end_exclusive(). One at a time.
    using Begun = void (*)(WorkerJob&) noexcept;
    void run_exclusively(WorkerJob& job, Begun begun) noexcept;
    /// `error` other than a lack of space breaks the image.
    void end_exclusive(std::error_code error) noexcept;
    /// The error that broke the image.
    std::error_code broken() const noexcept { return broken_; }
    /// Ends a flush that the file has done. The kernel tells of a failure once: if a group is being made durable at
    /// this moment, it may be told, and the flush waits to know.
    void end_flush(ImageRequest& request, std::error_code error) noexcept;

  private:
    struct WriteOp {
        IoOp io{};
        iovec entry{};
        Committer* committer = nullptr;
    };
    void start() noexcept;
    void gather() noexcept;
    static void slice_loaded(Task& task, std::error_code error) noexcept;
    void begin_phase(unsigned phase) noexcept;
    static void piece_written(IoOp& io) noexcept;
    void phase_written() noexcept;
    void sync() noexcept;
    friend class FileSync<Committer>;
    FileSync<Committer>& file_sync() noexcept { return sync_; }
    void synced(ImageRequest&, std::error_code error) noexcept { sync_over(error); }
    void sync_over(std::error_code error) noexcept;
    void end_flushes() noexcept;
    void punch() noexcept;
    void succeed() noexcept;
    void fail(std::error_code error) noexcept;
    void end_tasks(std::error_code error) noexcept;

    Core& core_;
    void* const owner_;
    const Over over_;
    CommitPlan plan_;
    TaskList queue_;                                                                  ///< for the next group
    TaskList committing_;                                                             ///< in this one
    boost::intrusive::slist<WorkerJob, boost::intrusive::cache_last<true>> flushes_;  ///< that wait for syncing_ to end
    WorkerJob* exclusive_ = nullptr;                                                  ///< waits for the end of a group
    Begun exclusive_begun_ = nullptr;
    std::vector<WriteOp> ops_;
    FileSync<Committer> sync_;
    ImageRequest sync_request_{};
    WorkerJob job_{};
    bool running_ = false;
    bool stuck_ = false;
    bool syncing_ = false;
    unsigned phase_ = 0;
    std::size_t outstanding_ = 0;
    std::error_code phase_error_{};
    std::error_code broken_{};
};

}  // namespace blktap::qcow2
