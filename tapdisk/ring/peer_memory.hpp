// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// PeerMemory: the memory at the other end of a ring, page by page as requests name it. A guest's pages are named by
// grant references and mapped, or copied by the hypervisor; the pages of a program on this host lie in one shared
// range, and are named by their number in it. Either peer may write its pages at any time.
//
// Tested by tests/unit/tapdisk/ring/guest_data_test.cpp, local_ring_test.cpp.
#pragma once

#include <optional>
#include <span>

#include "libblktap/base/units.hpp"
#include "libblktap/xen/grant_table.hpp"
#include "tapdisk/ring/persistent_grants.hpp"

namespace blktap {

class PeerMemory {
  public:
    using Page = PersistentGrants::Page;

    /// Memory of `domain`. At most `persistent_pages_max` pages stay mapped; 0: the frontend did not agree to
    /// persistent grants. `table` outlives this.
    PeerMemory(xen::GrantTable& table, xen::DomainId domain, std::size_t persistent_pages_max)
        : table_(&table), domain_(domain) {
        if (persistent_pages_max > 0) persistent_.emplace(table, domain, persistent_pages_max);
    }
    /// Memory of a program on this host, all of it mapped: whole pages, which outlive this.
    explicit PeerMemory(std::span<std::byte> pages) noexcept : local_(pages) {}

    /// Whether pages can be accessed in place.
    bool can_map() const noexcept { return persistent_ || is_local(); }
    /// Returns the page `ref`, mapped until release(); without an address if it must be copied. Only if can_map().
    Page acquire(xen::GrantRef ref) noexcept {
        if (!is_local()) return persistent_->acquire(ref);
        if (ref >= local_.size() / page_size_bytes) return {};
        return {local_.data() + ref * page_size_bytes, 0};
    }
    void release(std::uint16_t entry) noexcept {
        if (!is_local()) persistent_->release(entry);
    }

    /// Copies all pieces in one call; each then has its own status, GNTST_okay or negative. Errors: the call itself
    /// failed, and no status is valid.
    std::error_code copy(std::span<xen::CopySegment> pieces) noexcept;
    /// The domain for the pieces of copy().
    xen::DomainId domain() const noexcept { return domain_; }

    /// Pages of a guest that are mapped now.
    std::size_t mapped_grants() const noexcept { return persistent_ ? persistent_->mapped() : 0; }

  private:
    bool is_local() const noexcept { return table_ == nullptr; }
    void copy_local(xen::CopySegment& piece) const noexcept;

    xen::GrantTable* table_ = nullptr;  ///< null for a program on this host
    xen::DomainId domain_ = 0;
    std::optional<PersistentGrants> persistent_;
    std::span<std::byte> local_;
};

}  // namespace blktap
