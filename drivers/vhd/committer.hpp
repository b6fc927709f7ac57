// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Committer: makes the changes of many requests part of the image together. While one group is being written the next
// one gathers. A request is answered when its group's entries and bits are in the file, so that what was answered
// survives the death of this process; a guest's flush makes it survive a loss of power.
//
// A group that could not be written for lack of space is undone, unless its last phase had begun: then some of it may
// be in the file. It stays, its requests are answered with the error, and its last phase is repeated before anything
// else. Any other failure of the last phase, or of making something durable, breaks the image: nothing is written any
// more, and no flush succeeds.
//
// Tested by tests/unit/vhd/commit_test.cpp and tests/crash/vhd_crash_test.cpp.
#pragma once

#include <vector>

#include "drivers/shared/file_sync.hpp"
#include "drivers/vhd/commit_plan.hpp"
#include "drivers/vhd/core.hpp"

namespace blktap::vhd {

class Committer {
  public:
    /// Lifetime: all outlive this. Errors: throws std::system_error (ENOMEM).
    Committer(Core& core, Allocator& allocator);
    Committer(const Committer&) = delete;
    Committer& operator=(const Committer&) = delete;

    /// Commits task.pending(), of which nothing is left. task.next is called with success when all of it is in the
    /// file.
    void join(Task& task) noexcept;
    /// Starts `job` when no group is under way; none is until end_exclusive(). One at a time.
    void run_exclusively(WorkerJob& job) noexcept;
    /// `error` other than a lack of space breaks the image.
    void end_exclusive(std::error_code error) noexcept;
    /// A group could not be finished for lack of space: it will be, before anything else.
    bool stuck() const noexcept { return stuck_; }
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
    void refuse_all() noexcept;
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
    void succeed() noexcept;
    void fail(std::error_code error) noexcept;
    void end_tasks(std::error_code error) noexcept;

    Core& core_;
    CommitPlan plan_;
    TaskList queue_;                                                                  ///< for the next group
    TaskList committing_;                                                             ///< in this one
    TaskList satisfied_;                                                              ///< by earlier ones
    boost::intrusive::slist<WorkerJob, boost::intrusive::cache_last<true>> flushes_;  ///< that wait for syncing_ to end
    WorkerJob* exclusive_ = nullptr;                                                  ///< waits for the end of a group
    std::vector<WriteOp> ops_;
    FileSync<Committer> sync_;
    ImageRequest sync_request_{};
    bool running_ = false;
    bool stuck_ = false;
    bool syncing_ = false;
    unsigned phase_ = 0;
    std::size_t outstanding_ = 0;
    std::error_code phase_error_{};
    std::error_code broken_{};
};

}  // namespace blktap::vhd
