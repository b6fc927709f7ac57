// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// IovecCursor: copies between a request's scattered memory and one contiguous buffer, front to back.
//
// Tested by tests/unit/drivers/iovec_cursor_test.cpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <sys/uio.h>

#include "libblktap/base/assert.hpp"

namespace blktap {

class IovecCursor {
  public:
    /// Starts at the first byte of `data`, which must outlive the cursor.
    explicit IovecCursor(std::span<const iovec> data) noexcept : data_(data) {}

    /// Fills `to` with the next bytes; at least to.size() must be left.
    void copy_to(std::span<std::byte> to) noexcept {
        advance(to.size(), [&](std::byte* memory, std::size_t at, std::size_t count) {
            std::memcpy(to.data() + at, memory, count);
        });
    }
    /// Writes `from` over the next bytes; at least from.size() must be left.
    void copy_from(std::span<const std::byte> from) noexcept {
        advance(from.size(), [&](std::byte* memory, std::size_t at, std::size_t count) {
            std::memcpy(memory, from.data() + at, count);
        });
    }

  private:
    template <class Copy>
    void advance(std::size_t size_bytes, Copy copy) noexcept {
        for (std::size_t done = 0; done < size_bytes;) {
            BLKTAP_ASSERT(index_ < data_.size());
            const iovec& entry = data_[index_];
            const std::size_t count = std::min(size_bytes - done, entry.iov_len - used_bytes_);
            if (count > 0) copy(static_cast<std::byte*>(entry.iov_base) + used_bytes_, done, count);
            done += count;
            used_bytes_ += count;
            if (used_bytes_ < entry.iov_len) continue;
            ++index_;
            used_bytes_ = 0;
        }
    }

    std::span<const iovec> data_;
    std::size_t index_ = 0;
    std::size_t used_bytes_ = 0;  ///< bytes of data_[index_] that were passed
};

}  // namespace blktap
