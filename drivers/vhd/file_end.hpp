// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FileEnd: makes room for new blocks at the end of a VHD image that reads as zeros without writing zeros: a file is
// made longer, a block device is told to zero its next part. See tables::FileEnd.
//
// Tested by tests/unit/vhd/vhd_storage_test.cpp.
#pragma once

#include "drivers/tables/file_end.hpp"
#include "drivers/vhd/image.hpp"

namespace blktap::vhd {

class FileEnd final : public tables::FileEnd {
  public:
    /// Lifetime: `image` outlives this.
    explicit FileEnd(Image& image) noexcept;

  private:
    std::error_code make_room(std::uint64_t begin, std::uint64_t end) noexcept override;
    void room_tried(bool made) noexcept override;

    Layer& layer_;
    const std::uint64_t limit_;  ///< end of the usable part of a block device
    bool cuts_first_;            ///< bytes behind the end may not be zeros: cut the file first
};

}  // namespace blktap::vhd
