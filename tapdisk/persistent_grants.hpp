// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// PersistentGrants: the guest's pages that stay mapped because the frontend agreed to use the same grants again
// (feature-persistent). In the steady state a request's page is found by its reference, with no call to the hypervisor.
// Bounded: when full, the page that went unused longest makes room; when all are in use, the caller copies instead.
//
// Mapped read-write whatever the request, as blkif.h's note on persistent grants asks.
//
// Tested by tests/unit/tapdisk/persistent_grants_test.cpp.
#pragma once

#include <cstdint>
#include <vector>

#include "libblktap/xen/grant_table.hpp"

namespace blktap {

class PersistentGrants {
  public:
    /// Per queue, as blkback: a 32-slot ring of 32-segment requests with its descriptor pages.
    static constexpr std::size_t pages_per_queue = 1056;

    /// `table` outlives this object. Allocates all it will need.
    PersistentGrants(xen::GrantTable& table, xen::DomainId domain, std::size_t pages_max);

    /// The page behind `ref`, mapped now if it was not, and kept mapped until release(). Null when it cannot be mapped
    /// or all pages are in use.
    std::byte* acquire(xen::GrantRef ref) noexcept;
    /// Ends one acquire().
    void release(xen::GrantRef ref) noexcept;

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

    std::uint32_t& bucket(xen::GrantRef ref) noexcept;
    Entry* find(xen::GrantRef ref) noexcept;
    Entry* free_entry() noexcept;
    void forget(Entry& entry) noexcept;

    xen::GrantTable& table_;
    const xen::DomainId domain_;
    std::vector<Entry> entries_;
    std::vector<std::uint32_t> next_;  ///< chains of entries with one hash
    std::vector<std::uint32_t> buckets_;
    std::size_t mapped_count_ = 0;
    std::uint64_t uses_ = 0;
    std::uint64_t map_calls_ = 0;
};

}  // namespace blktap
