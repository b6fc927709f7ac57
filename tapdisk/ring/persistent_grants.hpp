// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// PersistentGrants: the guest's pages that stay mapped because the frontend agreed to use the same grants again
// (feature-persistent). In the steady state a request's page is found by its reference, with no call to the hypervisor.
// Bounded: when the table is full, a page that was unused for long is unmapped; if there is none, the caller copies
// instead. So if a guest uses more grants than fit, some are used in place and the rest are copied, and pages are not
// mapped and unmapped all the time.
//
// Pages are mapped read-write whatever the request, as blkif.h's note on persistent grants requires.
//
// Tested by tests/unit/tapdisk/ring/persistent_grants_test.cpp.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "libblktap/xen/grant_table.hpp"

namespace blktap {

class PersistentGrants {
  public:
    /// Pages for each slot of a ring: a request of 32 segments, which is Linux's default, and its descriptor page.
    static constexpr std::size_t pages_per_slot = 33;
    /// Limit for one connection: each page is a separate mapping, and vm.max_map_count is 65,530.
    static constexpr std::size_t pages_max = 16384;

    /// A page in use, and the index of its entry, so that release() need not search for it.
    struct Page {
        std::byte* address = nullptr;  ///< null: it cannot be mapped, or all pages are in use
        std::uint16_t entry = 0;
    };
    static_assert(pages_max - 1 <= std::numeric_limits<std::uint16_t>::max());

    /// `table` outlives this object. Allocates all it will need.
    PersistentGrants(xen::GrantTable& table, xen::DomainId domain, std::size_t page_count);

    /// The page behind `ref`, mapped now if it was not, and kept mapped until release().
    Page acquire(xen::GrantRef ref) noexcept;
    /// Ends one acquire(), which gave the page of `entry`.
    void release(std::uint16_t entry) noexcept;

    std::size_t mapped() const noexcept { return mapped_count_; }
    /// Calls to map a page since the beginning; stops growing in the steady state.
    std::uint64_t map_calls() const noexcept { return map_calls_; }

  private:
    struct Entry {
        xen::GuestPages page;
        xen::GrantRef ref = 0;
        std::uint32_t users = 0;
        std::uint64_t last_use = 0;
    };
    static constexpr std::uint32_t no_entry = ~std::uint32_t{0};
    static constexpr std::size_t entries_looked_at = 8;    ///< for one that may go: bounds the cost of a miss
    static constexpr std::uint64_t uses_before_stale = 4;  ///< rounds over the whole table

    std::uint32_t& bucket(xen::GrantRef ref) noexcept;
    Entry* find(xen::GrantRef ref) noexcept;
    Entry* free_entry() noexcept;
    void forget(Entry& entry) noexcept;

    xen::GrantTable& table_;
    const xen::DomainId domain_;
    std::vector<Entry> entries_;
    std::vector<std::uint32_t> next_;  ///< chains of entries with one hash
    std::vector<std::uint32_t> buckets_;
    std::size_t hand_ = 0;  ///< where the next look for room begins
    std::size_t mapped_count_ = 0;
    std::uint64_t uses_ = 0;
    std::uint64_t map_calls_ = 0;
};

}  // namespace blktap
