// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Grants of the simulated machine: pages that one domain shares and another maps or copies. GrantHandle is behind both
// an xengnttab_handle and an xengntshr_handle (the C library gives them one type).
//
// Functions that answer the C API set errno. copy() takes no lock, makes no system call and allocates nothing.
//
// Tested by tests/unit/xen/fakexen_grants_test.cpp.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "libblktap/base/unique_fd.hpp"
#include "libblktap/xen/xen_libraries.hpp"
#include "tests/fakexen/grant_word.hpp"
#include "tests/fakexen/shared_world.hpp"

namespace fakexen {

/// What the kernel does when a range goes: zero a byte of its page, signal a port of ours. `nothing` for either: not.
struct FarewellNotice {
    static constexpr std::uint32_t nothing = UINT32_MAX;
    std::uint32_t offset_bytes = nothing;
    Port port = nothing;
};

class GrantHandle {
  public:
    GrantHandle(SharedWorld& world, DomainId domain);
    GrantHandle(const GrantHandle&) = delete;
    GrantHandle& operator=(const GrantHandle&) = delete;
    /// Unmaps and unshares everything.
    ~GrantHandle();

    int fd() const noexcept { return fd_.get(); }

    /// Maps page i from `refs[i]` of `domains[i]`. nullptr: nothing is mapped; EINVAL for a refused grant, as the
    /// kernel.
    void* map(std::span<const std::uint32_t> domains, std::span<const GrantRef> refs, int protection,
              FarewellNotice notice);
    /// Errors: -1, EINVAL unless `address` and `count` are those of one map().
    int unmap(void* address, std::uint32_t count) noexcept;
    /// Errors: -1 for a segment without a grant (EINVAL), or as told by fail_nth(). Else see each status.
    int copy(std::span<xengnttab_grant_copy_segment_t> segments) noexcept;

    /// Errors: nullptr; EINVAL, or ENOSPC when no run of free pages is left.
    void* share(DomainId grantee, std::span<GrantRef> refs, bool writable, FarewellNotice notice);
    /// Errors: -1, EINVAL unless `address` and `count` are those of one share().
    int unshare(void* address, std::uint32_t count) noexcept;

  private:
    struct MappedRange {
        std::vector<std::uint32_t> records;
        FarewellNotice notice;
    };
    struct SharedRange {
        std::uint32_t first_page;
        std::uint32_t page_count;
        FarewellNotice notice;
    };
    struct Side {
        std::byte* address;  // nullptr: refused, `status` says why
        std::int16_t status;
    };

    std::optional<Grant> mappable(std::uint32_t owner, GrantRef ref, bool writing) const noexcept;
    std::vector<std::uint32_t> mappable_pages(const WorldLock& lock, std::span<const std::uint32_t> domains,
                                              std::span<const GrantRef> refs, bool writing);
    std::vector<std::uint32_t> record_maps(std::span<const std::uint32_t> pages);
    void forget_map(const WorldLock& lock, std::uint32_t record) noexcept;
    Side granted_side(const xengnttab_grant_copy_segment::xengnttab_copy_ptr& side, std::uint16_t length_bytes,
                      bool writing) const noexcept;
    std::int16_t copy_segment(const xengnttab_grant_copy_segment_t& segment) const noexcept;
    void say_farewell(void* address, const FarewellNotice& notice) noexcept;
    void drop(const WorldLock& lock, void* address, const MappedRange& range) noexcept;
    void drop(const WorldLock& lock, void* address, const SharedRange& range) noexcept;

    SharedWorld& world_;
    const DomainId domain_;
    const blktap::UniqueFd fd_;
    // Under the world's lock, so that threads may share a handle as they may share a descriptor of the real one.
    std::map<void*, MappedRange> mapped_;
    std::map<void*, SharedRange> shared_;
};

/// Counts Page::maps anew from the records.
void count_maps(SharedWorld& world, const WorldLock& lock) noexcept;
/// Revokes the grants and forgets the maps of these processes.
void forget_grants(SharedWorld& world, const WorldLock& lock, const ProcessSet& processes) noexcept;

inline bool is_page_ref(GrantRef ref) noexcept {
    return ref >= first_ref && ref - first_ref < page_count;
}

}  // namespace fakexen
