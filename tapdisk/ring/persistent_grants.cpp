// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/ring/persistent_grants.hpp"

#include <bit>

#include "libblktap/base/assert.hpp"

namespace blktap {

PersistentGrants::PersistentGrants(xen::GrantTable& table, xen::DomainId domain, std::size_t page_count)
    : table_(table),
      domain_(domain),
      entries_(page_count),
      next_(page_count, no_entry),
      buckets_(std::bit_ceil(page_count), no_entry) {}

std::uint32_t& PersistentGrants::bucket(xen::GrantRef ref) noexcept {
    // A multiplicative hash keeps chains short for a small dense set. A guest may choose references that collide, but
    // that only slows down its own disk by the length of one chain.
    const std::uint32_t hash = ref * 2654435769u;
    return buckets_[(hash ^ (hash >> 16)) & (buckets_.size() - 1)];
}

PersistentGrants::Entry* PersistentGrants::find(xen::GrantRef ref) noexcept {
    for (std::uint32_t i = bucket(ref); i != no_entry; i = next_[i]) {
        if (entries_[i].ref == ref) return &entries_[i];
    }
    return nullptr;
}

PersistentGrants::Page PersistentGrants::acquire(xen::GrantRef ref) noexcept {
    Entry* entry = find(ref);
    if (entry == nullptr) {
        entry = free_entry();
        if (entry == nullptr) return {};
        ++map_calls_;
        auto page = table_.map(domain_, {&ref, 1}, xen::PageAccess::read_write);
        if (!page) return {};
        entry->page = std::move(page).value();
        entry->ref = ref;
        const auto index = static_cast<std::uint32_t>(entry - entries_.data());
        next_[index] = bucket(ref);
        bucket(ref) = index;
        ++mapped_count_;
    }
    ++entry->users;
    entry->last_use = ++uses_;
    return {entry->page.bytes().data(), static_cast<std::uint16_t>(entry - entries_.data())};
}

void PersistentGrants::release(std::uint16_t entry) noexcept {
    BLKTAP_ASSERT(entry < entries_.size() && entries_[entry].users > 0);
    --entries_[entry].users;
}

PersistentGrants::Entry* PersistentGrants::free_entry() noexcept {
    for (std::size_t looked = 0; looked < entries_looked_at; ++looked) {
        Entry& entry = entries_[hand_];
        hand_ = (hand_ + 1) % entries_.size();
        if (!entry.page) return &entry;
        if (entry.users == 0 && uses_ - entry.last_use > uses_before_stale * entries_.size()) {
            forget(entry);
            return &entry;
        }
    }
    return nullptr;
}

void PersistentGrants::forget(Entry& entry) noexcept {
    const auto index = static_cast<std::uint32_t>(&entry - entries_.data());
    std::uint32_t* link = &bucket(entry.ref);
    while (*link != index)
        link = &next_[*link];
    *link = next_[index];
    next_[index] = no_entry;
    entry.page.reset();
    --mapped_count_;
}

}  // namespace blktap
