// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/xen/grant_table.hpp"

#include <cerrno>
#include <sys/mman.h>

#include "libblktap/base/assert.hpp"
#include "libblktap/base/units.hpp"

namespace blktap::xen {
namespace {

int protection(PageAccess access) noexcept {
    return access == PageAccess::read_write ? PROT_READ | PROT_WRITE : PROT_READ;
}

// The kernel answers EINVAL for a grant that the hypervisor refused, whatever its reason.
std::error_code map_error(int error) noexcept {
    if (error == EINVAL) return Errc::grant_denied;
    return {error, std::system_category()};
}

}  // namespace

GuestPages& GuestPages::operator=(GuestPages&& other) noexcept {
    if (this != &other) {
        reset();
        table_ = std::exchange(other.table_, nullptr);
        address_ = std::exchange(other.address_, nullptr);
        page_count_ = std::exchange(other.page_count_, 0);
    }
    return *this;
}

std::span<std::byte> GuestPages::bytes() const noexcept {
    return {static_cast<std::byte*>(address_), page_count_ * page_size_bytes};
}

void GuestPages::reset() noexcept {
    // Whole ranges only: the library cannot unmap a part of what one call mapped.
    if (address_ != nullptr) xengnttab_unmap(table_->get(), address_, page_count_);
    table_ = nullptr;
    address_ = nullptr;
    page_count_ = 0;
}

void set_copy_from_guest(CopySegment& segment, DomainId domain, GrantRef ref, std::uint16_t offset_bytes, void* local,
                         std::uint16_t length_bytes) noexcept {
    segment.source.foreign = {.ref = ref, .offset = offset_bytes, .domid = domain};
    segment.dest.virt = local;
    segment.len = length_bytes;
    segment.flags = GNTCOPY_source_gref;
    segment.status = GNTST_general_error;
}

void set_copy_to_guest(CopySegment& segment, DomainId domain, GrantRef ref, std::uint16_t offset_bytes, void* local,
                       std::uint16_t length_bytes) noexcept {
    segment.source.virt = local;
    segment.dest.foreign = {.ref = ref, .offset = offset_bytes, .domid = domain};
    segment.len = length_bytes;
    segment.flags = GNTCOPY_dest_gref;
    segment.status = GNTST_general_error;
}

GrantTable::GrantTable() : handle_(xengnttab_open(nullptr, 0)) {
    if (handle_ == nullptr) throw_system_error("xengnttab_open");
}

Result<GuestPages> GrantTable::map(DomainId domain, std::span<const GrantRef> refs, PageAccess access) noexcept {
    BLKTAP_ASSERT(!refs.empty());
    const auto page_count = static_cast<std::uint32_t>(refs.size());
    // The library only reads the references; its signature merely lacks the const.
    auto* const first_ref = const_cast<GrantRef*>(refs.data());
    void* address = xengnttab_map_domain_grant_refs(handle_.get(), page_count, domain, first_ref, protection(access));
    if (address == nullptr) return map_error(errno);
    return GuestPages{*this, address, page_count};
}

std::error_code GrantTable::copy(std::span<CopySegment> segments) noexcept {
    if (segments.empty()) return {};
    const auto count = static_cast<std::uint32_t>(segments.size());
    if (xengnttab_grant_copy(handle_.get(), count, segments.data()) != 0) return last_system_error();
    return {};
}

}  // namespace blktap::xen
