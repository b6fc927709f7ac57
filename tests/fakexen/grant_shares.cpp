// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The sharing side of grants: pages of the pool, given out and taken back.
#include <algorithm>
#include <cerrno>
#include <numeric>
#include <optional>
#include <sys/mman.h>

#include "tests/fakexen/failures.hpp"
#include "tests/fakexen/grants.hpp"

namespace fakexen {
namespace {

bool is_free(const Page& page) noexcept {
    return page.grant.load() == no_grant && page.maps == 0;
}

std::optional<std::uint32_t> find_run(const Layout& layout, std::uint32_t begin, std::uint32_t count) noexcept {
    std::uint32_t length = 0;
    for (std::uint32_t page = begin; page < page_count; ++page) {
        length = is_free(layout.pages[page]) ? length + 1 : 0;
        if (length == count) return page + 1 - count;
    }
    return std::nullopt;
}

// The search goes round the pool, so that a page rests as long as possible before it is used again (see
// grant_copy.cpp).
std::optional<std::uint32_t> take_run(Layout& layout, std::uint32_t count) noexcept {
    auto first = find_run(layout, layout.header.next_page, count);
    if (!first) first = find_run(layout, 0, count);
    if (!first) return std::nullopt;
    layout.header.next_page = (*first + count) % page_count;
    layout.header.used_pages = std::max(layout.header.used_pages, *first + count);
    return first;
}

}  // namespace

void* GrantHandle::share(DomainId grantee, std::span<GrantRef> refs, bool writable, FarewellNotice notice) {
    const auto fail = [](int error) {
        errno = error;
        return nullptr;
    };
    if (const int error = due_failure(Call::share); error != 0) return fail(error);
    if (refs.empty()) return fail(EINVAL);
    const auto count = static_cast<std::uint32_t>(refs.size());
    auto& layout = world_.layout();
    const WorldLock lock{world_};
    auto first = take_run(layout, count);
    if (!first) {
        bury_the_dead(world_, lock);
        first = take_run(layout, count);
    }
    if (!first) return fail(ENOSPC);

    world_.zero_pool(*first, count);
    std::vector<std::uint32_t> pages(count);
    std::iota(pages.begin(), pages.end(), *first);
    void* const address = world_.map_pool(pages, PROT_READ | PROT_WRITE);
    if (address == nullptr) return nullptr;
    // The pages are the guest's: it holds them, so that the kernel does not count what a backend copies into them as
    // the backend's own memory. A kernel before 5.14 cannot, and only its figures suffer.
    ::madvise(address, std::size_t{count} * page_size_bytes, MADV_POPULATE_WRITE);
    shared_[address] = {.first_page = *first, .page_count = count, .notice = notice};
    const auto grant = to_word({.owner = domain_, .grantee = grantee, .process = world_.self(), .writable = writable});
    for (std::uint32_t i = 0; i < count; ++i) {
        refs[i] = pages[i] + first_ref;
        layout.pages[pages[i]].grant.store(grant, std::memory_order_release);
    }
    return address;
}

int GrantHandle::unshare(void* address, std::uint32_t count) noexcept {
    const WorldLock lock{world_};
    const auto range = shared_.find(address);
    if (range == shared_.end() || range->second.page_count != count) {
        errno = EINVAL;
        return -1;
    }
    drop(lock, address, range->second);
    shared_.erase(range);
    return 0;
}

void GrantHandle::drop(const WorldLock&, void* address, const SharedRange& range) noexcept {
    auto* const pages = &world_.layout().pages[range.first_page];
    say_farewell(address, range.notice);
    ::munmap(address, range.page_count * page_size_bytes);
    for (std::uint32_t i = 0; i < range.page_count; ++i)
        pages[i].grant.store(no_grant, std::memory_order_release);
    // Whoever has a page mapped keeps it, contents and all, until he unmaps it.
    if (std::all_of(pages, pages + range.page_count, is_free)) world_.zero_pool(range.first_page, range.page_count);
}

}  // namespace fakexen
