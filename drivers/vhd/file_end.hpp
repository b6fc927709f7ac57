// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FileEnd: makes room for new blocks at the end of the image, ahead of them and by a worker, so that they read as zeros
// without anybody writing zeros: a file is made longer (docs/decisions/0012-growth.md), a block device's next part is
// told to be zeros.
//
// Tested by tests/unit/vhd/vhd_storage_test.cpp.
#pragma once

#include "drivers/vhd/core.hpp"

namespace blktap::vhd {

class FileEnd {
  public:
    /// How far ahead: an eighth of the file, within these bounds.
    static constexpr std::uint64_t ahead_min_bytes = 8ULL << 20;
    static constexpr std::uint64_t ahead_max_bytes = 256ULL << 20;

    /// Lifetime: `core` outlives this.
    explicit FileEnd(Core& core) noexcept;
    FileEnd(const FileEnd&) = delete;
    FileEnd& operator=(const FileEnd&) = delete;

    /// There is room up to `end_bytes`: true. False: `task` waits, and task.next is called when there is, or cannot be.
    bool reach(Task& task, std::uint64_t end_bytes) noexcept;
    /// Everything in use ends at `end_bytes`: makes more room if it will soon be wanted. True: that has begun, and
    /// whoever asked must not end before it has: it calls wait().
    bool look_ahead(std::uint64_t end_bytes) noexcept;
    /// Calls task.next when nothing is under way.
    void wait(Task& task) noexcept { waiting_.push_back(task); }
    bool busy() const noexcept { return busy_; }

    const ImageActivity& activity() const noexcept { return activity_; }

  private:
    struct Job : WorkerJob {
        FileEnd* file_end = nullptr;
        std::uint64_t begin = 0;
        std::uint64_t needed = 0;
        std::uint64_t ahead = 0;
        std::uint64_t new_end = 0;
        std::error_code error{};
    };
    static void run(Job& job) noexcept;
    std::error_code make_room(std::uint64_t begin, std::uint64_t end) const noexcept;
    void start() noexcept;
    void done() noexcept;

    Core& core_;
    Job job_;
    const std::uint64_t limit_;  ///< of a block device
    bool cuts_first_;            ///< what is behind the end is not zeros
    bool busy_ = false;
    bool goes_ahead_ = true;  ///< there was space for it last time
    std::uint64_t needed_ = 0;
    TaskList waiting_;
    ImageActivity activity_;
};

}  // namespace blktap::vhd
