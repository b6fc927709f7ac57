// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Owners over libxengnttab's sharing side (/dev/xen/gntalloc): pages of this domain that another may use. For
// frontends: ring-replay and tests.
//
// Tested by tests/unit/xen/grant_table_test.cpp.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "libblktap/xen/grant_table.hpp"
#include "libblktap/xen/xen_libraries.hpp"

namespace blktap::xen {

/// One handle on /dev/xen/gntalloc.
class ShareHandle {
  public:
    /// Errors: throws std::system_error, "xengntshr_open: ...".
    ShareHandle();
    xengntshr_handle* get() const noexcept { return handle_.get(); }

  private:
    struct Close {
        void operator()(xengntshr_handle* handle) const noexcept { xengntshr_close(handle); }
    };
    std::unique_ptr<xengntshr_handle, Close> handle_;
};

/// Contiguous zeroed pages granted to one domain until destruction. The handle outlives it.
class SharedPages {
  public:
    /// Errors: throws std::system_error; if gntalloc has reached its limit the text names the module parameter
    /// (xen_gntalloc.limit).
    SharedPages(ShareHandle& handle, DomainId domain, std::uint32_t page_count, PageAccess access);
    SharedPages(SharedPages&& other) noexcept;
    SharedPages& operator=(SharedPages&& other) noexcept;
    ~SharedPages();

    std::span<std::byte> bytes() const noexcept;
    /// One grant reference a page.
    std::span<const GrantRef> refs() const noexcept { return refs_; }

  private:
    void reset() noexcept;
    ShareHandle* handle_ = nullptr;
    void* address_ = nullptr;
    std::vector<GrantRef> refs_;
};

}  // namespace blktap::xen
