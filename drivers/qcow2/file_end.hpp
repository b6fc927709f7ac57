// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FileEnd: makes the file of a growing image longer, ahead of the clusters that it will be asked for, by a worker: a
// write behind a file's end would wait for the disk in the ring's thread (docs/decisions/0012-growth.md).
//
// Tested by tests/unit/qcow2/qcow2_full_disk_test.cpp.
#pragma once

#include "drivers/qcow2/core.hpp"

namespace blktap::qcow2 {

class FileEnd {
  public:
    /// How far ahead: an eighth of the file, within these bounds.
    static constexpr std::uint64_t ahead_min_bytes = 8ULL << 20;
    static constexpr std::uint64_t ahead_max_bytes = 256ULL << 20;

    /// Lifetime: `core` outlives this.
    explicit FileEnd(Core& core) noexcept;
    FileEnd(const FileEnd&) = delete;
    FileEnd& operator=(const FileEnd&) = delete;

    /// The file reaches `end_bytes`: true. False: `task` waits, and task.next is called when it does, or cannot.
    bool reach(Task& task, std::uint64_t end_bytes) noexcept;
    /// Everything in use ends at `end_bytes`: makes the file longer if more will soon be wanted. True: that has begun,
    /// and whoever asked must not end before it has: it calls wait().
    bool look_ahead(std::uint64_t end_bytes) noexcept;
    /// Calls task.next when nothing is under way.
    void wait(Task& task) noexcept { waiting_.push_back(task); }
    /// Nothing is under way: gives back what is behind `end_bytes`, if this made the file longer. Blocks.
    void cut(std::uint64_t end_bytes) noexcept;

    const ImageActivity& activity() const noexcept { return activity_; }
    bool busy() const noexcept { return busy_; }

  private:
    struct Job : WorkerJob {
        FileEnd* file_end = nullptr;
        int fd = -1;
        std::uint64_t old_end = 0;
        std::uint64_t needed = 0;
        std::uint64_t ahead = 0;
        std::uint64_t new_end = 0;
        std::error_code error{};
    };
    static void run(Job& job) noexcept;
    void start() noexcept;
    void done() noexcept;

    Core& core_;
    Job job_;
    bool busy_ = false;
    bool goes_ahead_ = true;  ///< there was space for it last time
    std::uint64_t needed_ = 0;
    TaskList waiting_;
    ImageActivity activity_;
};

}  // namespace blktap::qcow2
