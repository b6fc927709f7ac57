// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The four indices of a shared ring, in memory that the other side may change at any moment: every access is one atomic
// load or store of 32 bits with the order that the caller states.
//
// Tested by tests/unit/ring/back_ring_test.cpp and ring_order_test.cpp.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace blktap::ring {

class SharedIndex {
  public:
    SharedIndex() noexcept = default;
    /// `address` is 4-byte aligned shared memory that outlives this object.
    explicit SharedIndex(std::byte* address) noexcept : value_(reinterpret_cast<std::uint32_t*>(address)) {}
    std::uint32_t load(std::memory_order order) const noexcept { return std::atomic_ref(*value_).load(order); }
    void store(std::uint32_t value, std::memory_order order) const noexcept {
        std::atomic_ref(*value_).store(value, order);
    }

  private:
    std::uint32_t* value_ = nullptr;
};

}  // namespace blktap::ring
