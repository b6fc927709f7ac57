// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Owners over libxengnttab's mapping side: pages that a guest granted to this domain, mapped or copied.
//
// Costs (measured on Xen 4.17, docs/decisions/0005): mapping one page per request costs ten times a batched copy, so
// guest data is copied in batches or stays mapped; nothing is ever mapped and unmapped per request.
//
// Tested by tests/unit/xen/grant_table_test.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <system_error>
#include <utility>

#include "libblktap/base/error.hpp"
#include "libblktap/xen/event_channel.hpp"
#include "libblktap/xen/xen_libraries.hpp"

namespace blktap::xen {

using GrantRef = std::uint32_t;
enum class PageAccess : std::uint8_t { read_only, read_write };

class GrantTable;

/// Granted pages, mapped as one contiguous range until destruction. The table outlives this object.
class GuestPages {
  public:
    GuestPages() noexcept = default;
    GuestPages(GuestPages&& other) noexcept
        : table_(std::exchange(other.table_, nullptr)),
          address_(std::exchange(other.address_, nullptr)),
          page_count_(std::exchange(other.page_count_, 0)) {}
    GuestPages& operator=(GuestPages&& other) noexcept;
    ~GuestPages() { reset(); }

    std::span<std::byte> bytes() const noexcept;
    explicit operator bool() const noexcept { return address_ != nullptr; }
    void reset() noexcept;

  private:
    friend class GrantTable;
    GuestPages(GrantTable& table, void* address, std::uint32_t page_count) noexcept
        : table_(&table), address_(address), page_count_(page_count) {}
    GrantTable* table_ = nullptr;
    void* address_ = nullptr;
    std::uint32_t page_count_ = 0;
};

/// One piece of a grant copy: within one page of the guest and, to avoid a split by the kernel, one page of ours.
using CopySegment = xengnttab_grant_copy_segment_t;
/// Fills in a segment that copies from the guest's page to `local`, or the other way.
void set_copy_from_guest(CopySegment& segment, DomainId domain, GrantRef ref, std::uint16_t offset_bytes, void* local,
                         std::uint16_t length_bytes) noexcept;
void set_copy_to_guest(CopySegment& segment, DomainId domain, GrantRef ref, std::uint16_t offset_bytes, void* local,
                       std::uint16_t length_bytes) noexcept;

/// One handle on /dev/xen/gntdev.
class GrantTable {
  public:
    /// Errors: throws std::system_error, "xengnttab_open: ...".
    GrantTable();

    /// Maps the pages behind `refs` of `domain`, in order, as one contiguous range.
    /// Units:    one 4096-byte page per ref; at least 1.
    /// Errors:   Errc::grant_denied (never granted, revoked, or read-only where `access` is write), or errno. Nothing
    ///           stays mapped.
    /// Context:  loop thread; one ioctl and one mmap.
    Result<GuestPages> map(DomainId domain, std::span<const GrantRef> refs, PageAccess access) noexcept;

    /// Copies all segments with one call. Afterwards each has its own `status`, GNTST_okay (0) or negative; check every
    /// one. Errors: the call itself failed, and no status is valid.
    std::error_code copy(std::span<CopySegment> segments) noexcept;
    xengnttab_handle* get() const noexcept { return handle_.get(); }

  private:
    struct Close {
        void operator()(xengnttab_handle* handle) const noexcept { xengnttab_close(handle); }
    };
    std::unique_ptr<xengnttab_handle, Close> handle_;
};

}  // namespace blktap::xen
