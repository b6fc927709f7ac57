// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FileEnd: makes the file of a growing qcow2 image longer; see tables::FileEnd.
//
// Tested by tests/unit/qcow2/qcow2_full_disk_test.cpp.
#pragma once

#include "drivers/tables/file_end.hpp"

namespace blktap::qcow2 {

class FileEnd final : public tables::FileEnd {
  public:
    /// Lifetime: `image` outlives this.
    explicit FileEnd(tables::ImageIo& image) noexcept : tables::FileEnd(image) {}

    /// Frees the space behind `end_bytes`, if this object made the file longer. Only while nothing is under way.
    /// Blocks.
    void cut(std::uint64_t end_bytes) noexcept;

  private:
    std::error_code make_room(std::uint64_t begin, std::uint64_t end) noexcept override;
};

}  // namespace blktap::qcow2
