// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Writer: writes that need a block, or bits of a bitmap, and discards. Any number of requests may write into the same
// new block at once: each one's data goes to the place that the block has been given, and whoever is committed first
// brings the block into the table for all of them.
//
// Tested by tests/unit/vhd/vhd_driver_test.cpp and tests/property/vhd_property_test.cpp.
#pragma once

#include "drivers/vhd/committer.hpp"
#include "drivers/vhd/file_end.hpp"

namespace blktap::vhd {

class Writer {
  public:
    /// Lifetime: `core` outlives this. Errors: throws std::system_error (ENOMEM).
    explicit Writer(Core& core);
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;
    /// Nothing is under way. Cuts the file behind its last block, and writes the footer there. Blocks.
    ~Writer();

    /// Writes [task.at, task.end) from task.window, then calls task.finished. Errors through it: ENOSPC, EDQUOT and
    /// EFBIG before anything of the image has changed; Errc::image_invalid; those of the I/O.
    void write(Task& task) noexcept;
    /// Gives the storage of [task.at, task.end) back, then calls task.finished. What this image has of it reads as
    /// zeros; what only its parent has stays.
    void discard(Task& task) noexcept;

    Committer& committer() noexcept { return committer_; }
    Allocator& allocator() noexcept { return allocator_; }
    FileEnd& file_end() noexcept { return file_end_; }
    const ImageActivity& activity() const noexcept { return file_end_.activity(); }

  private:
    static Writer& of(Task& task) noexcept { return *static_cast<Writer*>(task.writer); }

    void step(Task& task) noexcept;
    void write_to_old(Task& task, std::uint64_t length) noexcept;
    void write_to_new(Task& task, std::uint64_t length) noexcept;
    void write_data(Task& task, std::uint64_t host_offset) noexcept;
    void data_written(Task& task) noexcept;
    void commit(Task& task) noexcept;
    void discard_step(Task& task) noexcept;
    void punch(Task& task) noexcept;
    void end(Task& task, std::error_code error) noexcept;

    Core& core_;
    Allocator allocator_;
    FileEnd file_end_;
    Committer committer_;
};

}  // namespace blktap::vhd
