// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// IovecWindow: a request's memory, piece by piece from the front, for I/O to several places of a file. A piece may end
// inside an entry: the entry is shortened until drop(), and its rest belongs to the next piece.
//
// Tested by tests/unit/drivers/iovec_window_test.cpp.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <sys/uio.h>

#include "libblktap/base/assert.hpp"

namespace blktap {

class IovecWindow {
  public:
    IovecWindow() noexcept = default;
    /// Lifetime: the entries outlive this, and are changed.
    explicit IovecWindow(std::span<iovec> data) noexcept : data_(data) {}

    /// Returns the next `bytes`, which must exist. The caller's I/O may change the entries.
    std::span<iovec> take(std::uint64_t bytes) noexcept {
        BLKTAP_ASSERT(taken_ == 0);
        while (!data_.empty() && data_.front().iov_len == 0)
            data_ = data_.subspan(1);
        std::uint64_t sum = 0;
        while (sum < bytes) {
            BLKTAP_ASSERT(taken_ < data_.size());
            sum += data_[taken_++].iov_len;
        }
        rest_ = {};
        if (sum == bytes) return data_.first(taken_);
        iovec& last = data_[taken_ - 1];
        const std::uint64_t beyond = sum - bytes;
        last.iov_len -= beyond;
        rest_ = {static_cast<std::byte*>(last.iov_base) + last.iov_len, beyond};
        return data_.first(taken_);
    }
    /// Moves past the piece that was taken.
    void drop() noexcept {
        if (taken_ == 0) return;
        std::size_t gone = taken_;
        if (rest_.iov_len > 0) data_[--gone] = rest_;
        data_ = data_.subspan(gone);
        taken_ = 0;
    }
    /// Fills the next `bytes` with zeros, and moves past them.
    void zero(std::uint64_t bytes) noexcept {
        for (const iovec& entry : take(bytes))
            std::memset(entry.iov_base, 0, entry.iov_len);
        drop();
    }

  private:
    std::span<iovec> data_;
    std::size_t taken_ = 0;  ///< entries of the piece that was taken
    iovec rest_{};           ///< the rest of its last entry
};

}  // namespace blktap
