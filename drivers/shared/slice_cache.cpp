// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/shared/slice_cache.hpp"

#include <algorithm>
#include <bit>

#include "libblktap/base/assert.hpp"

namespace blktap {

std::uint64_t SliceCache::slots_for(std::uint64_t size_bytes, std::size_t slice_bytes) noexcept {
    return std::max<std::uint64_t>(16, size_bytes / slice_bytes);
}

std::uint64_t SliceCache::memory_bytes(std::uint64_t size_bytes, std::size_t slice_bytes) noexcept {
    const std::uint64_t slots = slots_for(size_bytes, slice_bytes);
    return slots * (slice_bytes + sizeof(Slot)) + std::bit_ceil(slots) * sizeof(std::uint32_t);
}

SliceCache::SliceCache(std::uint64_t size_bytes, std::size_t slice_bytes)
    : slice_bytes_(slice_bytes),
      slots_(slots_for(size_bytes, slice_bytes)),
      buckets_(std::bit_ceil(slots_.size()), none),
      memory_(Mapping::anonymous(slots_.size() * slice_bytes)) {}

std::uint32_t& SliceCache::bucket(const Key& key) noexcept {
    const std::uint64_t number = key.offset / sector_size_bytes + (std::uint64_t{key.layer} << 40);
    const std::uint64_t mixed = number * 0x9e3779b97f4a7c15;  // Fibonacci hashing: spreads neighbours
    return buckets_[(mixed >> 32) & (buckets_.size() - 1)];
}

std::uint32_t SliceCache::find(const Key& key) noexcept {
    for (std::uint32_t slot = bucket(key); slot != none; slot = slots_[slot].next) {
        if (!(slots_[slot].key == key)) continue;
        slots_[slot].used = true;
        return slot;
    }
    return none;
}

/// Returns a slot that is empty or may be reused; `none` if there is none.
std::uint32_t SliceCache::victim() noexcept {
    // Two rounds: the first may only clear the marks.
    for (std::size_t step = 0; step < 2 * slots_.size(); ++step) {
        const std::uint32_t slot = hand_;
        hand_ = static_cast<std::uint32_t>((hand_ + 1) % slots_.size());
        Slot& candidate = slots_[slot];
        if (!candidate.held) return slot;
        if (candidate.loading || candidate.pins > 0) continue;
        if (!candidate.used) return slot;
        candidate.used = false;
    }
    return none;
}

std::uint32_t SliceCache::insert(const Key& key) noexcept {
    const std::uint32_t slot = victim();
    if (slot == none) return none;
    if (slots_[slot].held) forget(slot);
    std::uint32_t& first = bucket(key);
    slots_[slot] = {key, first, 0, true, true, true};
    first = slot;
    return slot;
}

void SliceCache::forget(std::uint32_t slot) noexcept {
    BLKTAP_ASSERT(slots_[slot].held && slots_[slot].pins == 0);
    std::uint32_t* link = &bucket(slots_[slot].key);
    while (*link != slot)
        link = &slots_[*link].next;
    *link = slots_[slot].next;
    slots_[slot] = {};
}

}  // namespace blktap
