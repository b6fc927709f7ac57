// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The shared memory of a ring, as both sides map it.
#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <span>

#include "libblktap/base/units.hpp"
#include "libblktap/ring/wire.hpp"

namespace blktap::test {

class RingMemory {
  public:
    explicit RingMemory(std::size_t page_count = 1) : page_count_(page_count) {}

    std::span<std::byte> pages() noexcept { return std::span(bytes_).first(page_count_ * page_size_bytes); }

    /// One of the four indices, by its offset.
    std::uint32_t index(std::size_t offset) const noexcept {
        std::uint32_t value;
        std::memcpy(&value, bytes_.data() + offset, sizeof(value));
        return value;
    }
    void set_index(std::size_t offset, std::uint32_t value) noexcept {
        std::memcpy(bytes_.data() + offset, &value, sizeof(value));
    }

  private:
    alignas(page_size_bytes) std::array<std::byte, ring::ring_pages_max * page_size_bytes> bytes_{};
    std::size_t page_count_;
};

inline constexpr std::array all_protocols{ring::Protocol::native, ring::Protocol::x86_32, ring::Protocol::x86_64};

}  // namespace blktap::test
