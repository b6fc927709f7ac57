// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Resize: makes a disk larger while it is used. A table of blocks that is too short is written again at the end of the
// image; then the header names the new table, then the footers get the new size. A fixed image gets a new footer at its
// new end, by the write that makes it longer. Data behind the disk's end, left by a program that made the image
// smaller, is zeroed or removed before the new size is written.
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

    /// Grows the disk to `size_sectors`, which is at least its current size, then calls end_resize() of the driver. One
    /// at a time. Errors go to end_resize(): EINVAL (above 2040 GiB); EOPNOTSUPP (XenServer's map of blocks is in the
    /// way; a fixed image on a block device); ENOSPC, ENOMEM, those of the I/O; the size has not changed then.
    void start(std::uint64_t size_sectors, ImageRequest& request) noexcept override;

  private:
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
    Job<Resize> job_;
    OwnTask room_;  ///< waits until the file is long enough
    std::error_code error_{};
    std::uint64_t size_bytes_ = 0;
    std::uint32_t entries_ = 0;       ///< of the new table; 0: the old table is long enough
    std::uint64_t table_offset_ = 0;  ///< of the new table
    Footer footer_;
    bool syncing_ = false;                    ///< true during a sync; stays true after a failed one
    bool table_named_ = false;                ///< the header may name the new table
    bool end_footer_ = false;                 ///< the end has a footer, which stays where it is
    std::vector<std::uint64_t> left_behind_;  ///< blocks behind the disk's end
    BlockTable table_;
    LazyArray<std::uint64_t> full_;
    std::uint64_t counted_bytes_ = 0;  ///< memory of an attempt, until it succeeds or the next one begins
    LazyArray<std::uint32_t> reserved_;
    ImageRequest* request_ = nullptr;
};

}  // namespace blktap::vhd
