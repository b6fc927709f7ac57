// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Resize: makes a disk larger while it is used. A table of blocks that is too short is written anew at the end of the
// image; then the header names it, then the footer tells of the new size. A fixed image gets a new footer where it will
// end, by the write that makes it longer. What an image that others made smaller has behind the disk's end is set to
// zeros or forgotten before anything tells of the new size.
//
// Tested by tests/unit/vhd/resize_test.cpp.
#pragma once

#include "drivers/tables/table_driver.hpp"
#include "drivers/vhd/writer.hpp"

namespace blktap::vhd {

class Resize final : public tables::Resizer {
  public:
    /// Lifetime: all outlive this.
    Resize(tables::TableDriver& driver, Image& image, Writer& writer) noexcept;

    /// Makes the disk `size_sectors` long, not less than it is, then calls end_resize() of the driver. One at a time.
    /// Errors through it: EINVAL (beyond 2040 GiB); EOPNOTSUPP (XenServer's map of blocks is in the way; a fixed image
    /// on a block device); ENOSPC, ENOMEM, those of the I/O; the size has not changed then.
    void start(std::uint64_t size_sectors, ImageRequest& request) noexcept override;

  private:
    struct Job : WorkerJob {
        Resize* resize = nullptr;
    };

    std::error_code prepare() noexcept;
    void count_memory(std::uint64_t bytes);
    void make_room() noexcept;
    std::error_code write() noexcept;
    void write_fixed();
    void clear(std::uint64_t begin, std::uint64_t end) const;
    void clear_last_block();
    void forget_left_behind();
    void write_table();
    void write_footers();
    void sync();
    void done() noexcept;

    struct OwnTask : Task {
        Resize* resize = nullptr;
    };

    tables::TableDriver& driver_;
    Image& image_;
    Writer& writer_;
    Job job_;
    OwnTask room_;  ///< waits for the file's end
    std::error_code error_{};
    std::uint64_t size_bytes_ = 0;
    std::uint32_t entries_ = 0;       ///< of a new table; 0: the old one will do
    std::uint64_t table_offset_ = 0;  ///< of the new one
    Footer footer_;
    bool syncing_ = false;                    ///< and if it stays, that failed
    bool table_named_ = false;                ///< the header may lead to the new one
    bool end_footer_ = false;                 ///< there is one, and it stays where it is
    std::vector<std::uint64_t> left_behind_;  ///< blocks behind the disk's end
    BlockTable table_;
    LazyArray<std::uint64_t> full_;
    std::uint64_t counted_bytes_ = 0;  ///< of an attempt, until it is the image's or the next one
    LazyArray<std::uint32_t> reserved_;
    ImageRequest* request_ = nullptr;
};

}  // namespace blktap::vhd
