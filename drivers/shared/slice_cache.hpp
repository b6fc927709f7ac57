// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// SliceCache: slices of tables in memory, as many as the operator allows, for all images of a chain. The cache holds
// the same bytes as the image: entries change here after they have changed on disk, so any slice may be evicted at any
// time.
//
// The cache does no I/O: a caller that misses a slice inserts it, reads it, and calls loaded(). A clock hand chooses
// the slice to evict; it passes over slices that were used since its last round.
//
// Tested by tests/unit/drivers/slice_cache_test.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "libblktap/base/mapping.hpp"
#include "libblktap/base/units.hpp"

namespace blktap {

class SliceCache {
  public:
    static constexpr std::size_t slice_bytes_max = page_size_bytes;
    static constexpr std::uint32_t none = ~std::uint32_t{0};

    struct Key {
        std::uint32_t layer = 0;   ///< index of the image in the chain
        std::uint64_t offset = 0;  ///< of the slice in its file, in bytes
        friend bool operator==(const Key&, const Key&) = default;
    };

    /// Slices of at most `slice_bytes`, a power of two from 512 bytes to slice_bytes_max; at least 16 of them, whatever
    /// `size_bytes` is. Errors: throws std::system_error (ENOMEM).
    explicit SliceCache(std::uint64_t size_bytes, std::size_t slice_bytes = slice_bytes_max);

    /// Returns the most memory that such a cache takes.
    static std::uint64_t memory_bytes(std::uint64_t size_bytes, std::size_t slice_bytes = slice_bytes_max) noexcept;

    /// Returns the slot of a slice, ready or being loaded; `none` if the slice is not cached.
    std::uint32_t find(const Key& key) noexcept;
    /// Returns a slot for a slice that is not cached, after evicting another. The slot is being loaded until loaded().
    /// Returns `none` if every slot is being loaded or pinned.
    std::uint32_t insert(const Key& key) noexcept;
    void loaded(std::uint32_t slot) noexcept { slots_[slot].loading = false; }
    /// Empties a slot whose slice could not be read or is outdated.
    void forget(std::uint32_t slot) noexcept;

    bool ready(std::uint32_t slot) const noexcept { return !slots_[slot].loading; }
    const Key& key(std::uint32_t slot) const noexcept { return slots_[slot].key; }
    /// Memory of a slice, aligned to its length.
    std::span<std::byte> bytes(std::uint32_t slot) const noexcept {
        return memory_.bytes().subspan(slot * slice_bytes_, slice_bytes_);
    }
    /// A pinned slice is not evicted. Pins are counted.
    void pin(std::uint32_t slot) noexcept { ++slots_[slot].pins; }
    void unpin(std::uint32_t slot) noexcept { --slots_[slot].pins; }

    std::size_t slot_count() const noexcept { return slots_.size(); }

  private:
    struct Slot {
        Key key;
        std::uint32_t next = none;  ///< the next slot in the same bucket
        std::uint32_t pins = 0;
        bool held = false;  ///< holds a slice
        bool loading = false;
        bool used = false;  ///< since the hand last passed
    };
    static std::uint64_t slots_for(std::uint64_t size_bytes, std::size_t slice_bytes) noexcept;
    std::uint32_t& bucket(const Key& key) noexcept;
    std::uint32_t victim() noexcept;

    const std::size_t slice_bytes_;
    std::vector<Slot> slots_;
    std::vector<std::uint32_t> buckets_;
    std::uint32_t hand_ = 0;
    Mapping memory_;
};

}  // namespace blktap
