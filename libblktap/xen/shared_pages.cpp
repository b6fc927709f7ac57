// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/xen/shared_pages.hpp"

#include <cerrno>
#include <string>

#include "libblktap/base/error.hpp"
#include "libblktap/base/units.hpp"

namespace blktap::xen {
namespace {

[[noreturn]] void throw_share_error(int error, DomainId domain, std::size_t page_count) {
    std::string context = "sharing " + std::to_string(page_count) + " pages with domain " + std::to_string(domain);
    if (error == ENOSPC || error == ENOMEM) context += " (the module parameter xen_gntalloc.limit bounds them)";
    throw_error({error, std::system_category()}, context);
}

}  // namespace

ShareHandle::ShareHandle() : handle_(xengntshr_open(nullptr, 0)) {
    if (handle_ == nullptr) throw_system_error("xengntshr_open");
}

SharedPages::SharedPages(ShareHandle& handle, DomainId domain, std::uint32_t page_count, PageAccess access)
    : handle_(&handle), refs_(page_count) {
    const int writable = access == PageAccess::read_write ? 1 : 0;
    address_ = xengntshr_share_pages(handle.get(), domain, static_cast<int>(page_count), refs_.data(), writable);
    if (address_ == nullptr) throw_share_error(errno, domain, page_count);
}

SharedPages::SharedPages(SharedPages&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)),
      address_(std::exchange(other.address_, nullptr)),
      refs_(std::exchange(other.refs_, {})) {}

SharedPages& SharedPages::operator=(SharedPages&& other) noexcept {
    if (this != &other) {
        reset();
        handle_ = std::exchange(other.handle_, nullptr);
        address_ = std::exchange(other.address_, nullptr);
        refs_ = std::exchange(other.refs_, {});
    }
    return *this;
}

SharedPages::~SharedPages() {
    reset();
}

std::span<std::byte> SharedPages::bytes() const noexcept {
    return {static_cast<std::byte*>(address_), refs_.size() * page_size_bytes};
}

void SharedPages::reset() noexcept {
    if (address_ != nullptr) xengntshr_unshare(handle_->get(), address_, static_cast<std::uint32_t>(refs_.size()));
    address_ = nullptr;
    refs_.clear();
}

}  // namespace blktap::xen
