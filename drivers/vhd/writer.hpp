// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Writer: writes that need a block, or bits of a bitmap, and discards. Any number of requests may write into the same
// new block at once: the data of each goes to the offset that the block has been given, and the first commit brings the
// block into the table for all of them.
//
// Tested by tests/unit/vhd/vhd_driver_test.cpp and tests/property/vhd_property_test.cpp.
#pragma once

#include "drivers/tables/table_writer.hpp"
#include "drivers/vhd/commit_plan.hpp"
#include "drivers/vhd/file_end.hpp"
#include "drivers/vhd/image.hpp"
#include "drivers/vhd/task.hpp"

namespace blktap::vhd {

class Writer final : public tables::TableWriter {
  public:
    /// Lifetime: `image` outlives this. Errors: throws std::system_error (ENOMEM).
    explicit Writer(Image& image);

    /// Writes [task.at, task.end) from task.window, or frees its storage, as the task's request demands, then ends the
    /// task. Discarded sectors of this image read as zeros; sectors that only its parent has stay. Errors: ENOSPC,
    /// EDQUOT and EFBIG before the image has changed; Errc::image_invalid; those of the I/O.
    void change(tables::Task& task) noexcept override;
    /// Cuts the file behind its last block, and writes the footer there.
    void finish() noexcept override;

    tables::Committer& committer() noexcept override { return committer_; }
    Allocator& allocator() noexcept { return allocator_; }
    FileEnd& file_end() noexcept override { return file_end_; }

  private:
    void step(Task& task) noexcept;
    void write_to_old(Task& task, std::uint64_t length) noexcept;
    void write_to_new(Task& task, std::uint64_t length) noexcept;
    void write_data(Task& task, std::uint64_t host_offset) noexcept;
    void data_written(Task& task) noexcept;
    void discard_step(Task& task) noexcept;
    void punch(Task& task) noexcept;
    void punched(Task& task) noexcept;
    void end(tables::Task& task, std::error_code error) noexcept override;

    Image& image_;
    Allocator allocator_;
    FileEnd file_end_;
    CommitPlan plan_;
    tables::Committer committer_;
};

}  // namespace blktap::vhd
