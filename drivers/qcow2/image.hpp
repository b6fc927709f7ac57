// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Image: an open qcow2 image with its backing files, the I/O to them, and the decompression of their clusters.
//
// Tested by tests/unit/qcow2/qcow2_driver_test.cpp.
#pragma once

#include "drivers/qcow2/decompressor.hpp"
#include "drivers/qcow2/open_image.hpp"
#include "drivers/tables/image_io.hpp"

namespace blktap::qcow2 {

class Image final : public tables::ImageIo {
  public:
    /// Returns the memory of an image with `chain`, without the chain and its bounce buffers.
    static std::uint64_t memory_bytes(const Chain& chain, std::uint64_t cache_bytes) noexcept;
    /// Lifetime: the objects of `context` outlive this. Errors: throws std::system_error (ENOMEM).
    Image(OpenedImage opened, const DriverContext& context, std::uint64_t cache_bytes);

    Chain& chain() noexcept { return opened_.chain; }
    Layer& top() noexcept { return opened_.chain.front(); }
    /// Null for a read-only image.
    Refcounts* refcounts() noexcept { return opened_.refcounts.get(); }
    MemoryBudget& memory() noexcept { return *opened_.memory; }

    /// Fills `data` from an extent of Kind::compressed. Context: a worker's thread; blocks.
    std::error_code decompress(const Extent& extent, std::span<const iovec> data) noexcept;

  private:
    OpenedImage opened_;
    Decompressor decompressor_;
};

}  // namespace blktap::qcow2
