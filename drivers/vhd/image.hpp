// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Image: an open VHD image with its parents, and the I/O to them.
//
// Tested by tests/unit/vhd/vhd_driver_test.cpp.
#pragma once

#include "drivers/tables/image_io.hpp"
#include "drivers/vhd/open_image.hpp"

namespace blktap::vhd {

class Image final : public tables::ImageIo {
  public:
    /// Returns the memory for slices of the bitmaps of `chain`, as many as `cache_bytes` allow.
    static std::uint64_t memory_bytes(const Chain& chain, std::uint64_t cache_bytes) noexcept;
    /// Lifetime: the objects of `context` outlive this. Errors: throws std::system_error (ENOMEM).
    Image(OpenedImage opened, const DriverContext& context, std::uint64_t cache_bytes);

    const Chain& chain() const noexcept { return opened_.chain; }
    Layer& top() noexcept { return opened_.chain.front(); }
    MemoryBudget& memory() noexcept { return *opened_.memory; }

  private:
    OpenedImage opened_;
};

}  // namespace blktap::vhd
