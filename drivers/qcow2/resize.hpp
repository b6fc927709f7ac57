// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Resize: makes a disk larger while it is used. The new size is one sector of the header; before it the L1 table gets
// entries, in the clusters that it has: one of 64 KiB has room for a disk of 4 TiB. What would need a longer L1 or
// refcount table is left to qemu-img, between two lives of the image.
//
// Tested by tests/unit/qcow2/resize_test.cpp.
#pragma once

#include "drivers/qcow2/committer.hpp"

namespace blktap::qcow2 {

class Resize {
  public:
    using Over = void (*)(ImageRequest&, std::error_code) noexcept;

    /// Lifetime: both outlive this.
    Resize(Core& core, Committer& committer) noexcept;
    Resize(const Resize&) = delete;
    Resize& operator=(const Resize&) = delete;

    /// Makes the disk `size_sectors` long, not less than it is, then calls `over`. One at a time. Errors through it:
    /// EOPNOTSUPP (a table would have to be longer), ENOMEM, those of the I/O; the size has not changed then.
    void start(std::uint64_t size_sectors, ImageRequest& request, Over over) noexcept;

  private:
    std::error_code prepare() noexcept;
    std::error_code write_tables() const;
    void done() noexcept;

    struct Job : WorkerJob {
        Resize* resize = nullptr;
    };

    Core& core_;
    Committer& committer_;
    Job job_;
    std::error_code error_{};
    std::uint64_t size_bytes_ = 0;
    std::uint32_t l1_count_ = 0;
    ImageRequest* request_ = nullptr;
    Over over_ = nullptr;
};

}  // namespace blktap::qcow2
