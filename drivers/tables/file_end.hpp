// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FileEnd: makes room for new data at the end of a growing image, ahead of its use, by a worker: a write behind a
// file's end would wait for the disk in the ring's thread (docs/decisions/0012-growth.md). How room is made is up to
// the format, in a class derived from this one.
//
// Tested by tests/unit/qcow2/qcow2_full_disk_test.cpp and tests/unit/vhd/vhd_storage_test.cpp.
#pragma once

#include "drivers/tables/image_io.hpp"

namespace blktap::tables {

class FileEnd {
  public:
    /// How far ahead room is made: an eighth of the file, within these bounds.
    static constexpr std::uint64_t ahead_min_bytes = 8ULL << 20;
    static constexpr std::uint64_t ahead_max_bytes = 256ULL << 20;

    FileEnd(const FileEnd&) = delete;
    FileEnd& operator=(const FileEnd&) = delete;

    /// Returns true if there is room up to `end_bytes`. Otherwise `task` waits, and task.next is called when there is
    /// room, or with an error.
    bool reach(Task& task, std::uint64_t end_bytes) noexcept;
    /// Call when the used part ends at `end_bytes`: makes more room if it will soon be needed, and notes in `task` that
    /// a growth has begun.
    void look_ahead(Task& task, std::uint64_t end_bytes) noexcept;
    /// Ends `task`, after the growth that it began.
    void end_task(Task& task, std::error_code error) noexcept;

    const ImageActivity& activity() const noexcept { return activity_; }

  protected:
    /// Lifetime: `image` outlives this.
    explicit FileEnd(ImageIo& image) noexcept;
    ~FileEnd() = default;

    /// Makes room from `begin`, the end of the used part, to `end`, so that it reads as zeros. Context: a worker's
    /// thread, one call at a time; blocks.
    virtual std::error_code make_room(std::uint64_t begin, std::uint64_t end) noexcept = 0;
    /// Called on the loop's thread after make_room(). `made`: it succeeded, and file_end is the new end.
    virtual void room_tried(bool made) noexcept { (void)made; }

    ImageFile& file() noexcept { return image_.top_file(); }

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
    void start() noexcept;
    void done() noexcept;

    ImageIo& image_;
    Job job_;
    bool busy_ = false;
    bool goes_ahead_ = true;  ///< the last growth found space to go ahead
    std::uint64_t needed_ = 0;
    TaskList waiting_;
    ImageActivity activity_;
};

}  // namespace blktap::tables
