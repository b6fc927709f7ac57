// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Decompressor: reads compressed clusters, one at a time, and keeps the last one, because a guest reads neighbouring
// sectors next. Memory is bounded by the size of a cluster, whatever the compressed bytes say; for zstd also by the
// largest accepted window.
//
// Tested by tests/unit/qcow2/decompressor_test.cpp.
#pragma once

#include <cstdint>
#include <mutex>
#include <span>
#include <sys/uio.h>
#include <system_error>

#include "drivers/qcow2/layer.hpp"
#include "libblktap/base/mapping.hpp"

namespace blktap::qcow2 {

/// Fills `out` from `in`, which may have unused bytes at its end. Returns false if `in` is invalid or too short.
bool inflate_cluster(std::span<const std::byte> in, std::span<std::byte> out) noexcept;
bool unzstd_cluster(std::span<const std::byte> in, std::span<std::byte> out) noexcept;

class Decompressor {
  public:
    /// Returns the memory of a decompressor, without temporary memory of a decompression.
    static std::uint64_t memory_bytes(std::uint64_t cluster_bytes) noexcept;
    /// For layers with clusters of at most `cluster_bytes`. Errors: throws std::system_error (ENOMEM).
    explicit Decompressor(std::uint64_t cluster_bytes);

    /// Decompresses `extent` of `layer` into `data`, which has the same length. Errors: Errc::image_invalid, those of
    /// pread(2). Context: a worker's thread; blocks.
    std::error_code read(const Layer& layer, const Extent& extent, std::span<const iovec> data) noexcept;

  private:
    std::error_code fill(const Layer& layer, const Extent& extent) noexcept;

    std::mutex mutex_;  ///< guards all of it
    int held_fd_ = -1;  ///< of the cluster in cluster_, and where it is
    std::uint64_t held_offset_ = 0;
    Mapping compressed_;
    Mapping cluster_;
};

}  // namespace blktap::qcow2
