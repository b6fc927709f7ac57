// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Copies through grants: what benchmarks and fuzzers run millions of times.
#include <cerrno>
#include <cstring>

#include "tests/fakexen/failures.hpp"
#include "tests/fakexen/grants.hpp"

namespace fakexen {

// Between this look at the grant and the copy the owner may revoke it, and then the copy still happens: as on Xen,
// which pins the page. It cannot hit a stranger's page, because a freed page is not given out before all others were.
GrantHandle::Side GrantHandle::granted_side(const xengnttab_grant_copy_segment::xengnttab_copy_ptr& side,
                                            std::uint16_t length_bytes, bool writing) const noexcept {
    const auto& [ref, offset_bytes, owner] = side.foreign;
    if (owner >= DOMID_FIRST_RESERVED) return {nullptr, GNTST_bad_domain};
    if (std::size_t{offset_bytes} + length_bytes > page_size_bytes) return {nullptr, GNTST_bad_copy_arg};
    if (!is_page_ref(ref)) return {nullptr, GNTST_bad_gntref};
    const std::uint32_t page = ref - first_ref;
    const Grant grant = from_word(world_.layout().pages[page].grant.load(std::memory_order_acquire));
    if (!grant || grant.owner != owner) return {nullptr, GNTST_bad_gntref};
    if (grant.grantee != domain_ || (writing && !grant.writable)) return {nullptr, GNTST_permission_denied};
    return {world_.layout().pool[page].data() + offset_bytes, GNTST_okay};
}

std::int16_t GrantHandle::copy_segment(const xengnttab_grant_copy_segment_t& segment) const noexcept {
    const auto side = [&](const auto& pointer, unsigned int granted, bool writing) {
        if ((segment.flags & granted) != 0) return granted_side(pointer, segment.len, writing);
        return Side{static_cast<std::byte*>(pointer.virt), GNTST_okay};
    };
    if (const int status = due_failure(Call::copy_segment); status != 0) return static_cast<std::int16_t>(status);
    const Side source = side(segment.source, GNTCOPY_source_gref, false);
    if (source.status != GNTST_okay) return source.status;
    const Side destination = side(segment.dest, GNTCOPY_dest_gref, true);
    if (destination.status != GNTST_okay) return destination.status;
    std::memmove(destination.address, source.address, segment.len);
    return GNTST_okay;
}

int GrantHandle::copy(std::span<xengnttab_grant_copy_segment_t> segments) noexcept {
    if (const int error = due_failure(Call::copy); error != 0) {
        errno = error;
        return -1;
    }
    for (auto& segment : segments) {
        if ((segment.flags & (GNTCOPY_source_gref | GNTCOPY_dest_gref)) == 0) {
            errno = EINVAL;
            return -1;
        }
        segment.status = copy_segment(segment);
    }
    return 0;
}

}  // namespace fakexen
