// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Mapping, copying and sharing. Every mapped page has a record in the world, so that what a dead process had mapped can
// be told, and a page that its owner gave up is not used again while somebody still sees it. Copies are what benchmarks
// and fuzzers run millions of times.
#include "tests/fakexen/grants.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <optional>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <utility>

#include "libblktap/base/error.hpp"
#include "tests/fakexen/channels.hpp"
#include "tests/fakexen/failures.hpp"

namespace fakexen {
namespace {

void* refuse(int error) noexcept {
    errno = error;
    return nullptr;
}

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

GrantHandle::GrantHandle(SharedWorld& world, DomainId domain)
    : world_(world), domain_(domain), fd_(::eventfd(0, EFD_CLOEXEC)) {
    if (!fd_) blktap::throw_system_error("fakexen: grant handle");
}

GrantHandle::~GrantHandle() {
    const WorldLock lock{world_};
    for (const auto& [address, range] : mapped_)
        drop(lock, address, range);
    for (const auto& [address, range] : shared_)
        drop(lock, address, range);
}

std::optional<Grant> GrantHandle::mappable(std::uint32_t owner, GrantRef ref, bool writing) const noexcept {
    if (!is_page_ref(ref)) return std::nullopt;
    const Grant grant = from_word(world_.layout().pages[ref - first_ref].grant.load());
    const bool granted = grant && grant.owner == owner && grant.grantee == domain_ && (grant.writable || !writing);
    return granted ? std::optional{grant} : std::nullopt;
}

std::vector<std::uint32_t> GrantHandle::mappable_pages(const WorldLock& lock, std::span<const std::uint32_t> domains,
                                                       std::span<const GrantRef> refs, bool writing) {
    std::vector<std::uint32_t> pages;
    pages.reserve(refs.size());
    ProcessId living = world_.self();
    for (std::size_t i = 0; i < refs.size(); ++i) {
        const auto grant = mappable(domains[i], refs[i], writing);
        if (!grant) return {};
        if (grant->process != living && !is_alive(world_, grant->process)) {
            bury_the_dead(world_, lock);
            return {};
        }
        living = grant->process;
        pages.push_back(refs[i] - first_ref);
    }
    return pages;
}

std::vector<std::uint32_t> GrantHandle::record_maps(std::span<const std::uint32_t> pages) {
    auto& layout = world_.layout();
    auto& next = layout.header.next_map;
    std::vector<std::uint32_t> records;
    records.reserve(pages.size());
    for (std::uint32_t tried = 0; records.size() < pages.size() && tried < map_count; ++tried) {
        const std::uint32_t index = std::exchange(next, (next + 1) % map_count);
        if (layout.maps[index].process != 0) continue;
        layout.header.used_maps = std::max(layout.header.used_maps, index + 1);
        const std::uint32_t page = pages[records.size()];
        layout.maps[index] = {.process = world_.self(), .domain = domain_, .page = page};
        ++layout.pages[page].maps;
        records.push_back(index);
    }
    return records;
}

void* GrantHandle::map(std::span<const std::uint32_t> domains, std::span<const GrantRef> refs, int protection,
                       FarewellNotice notice) {
    if (const int error = due_failure(Call::map); error != 0) return refuse(error);
    const WorldLock lock{world_};
    const auto pages = mappable_pages(lock, domains, refs, (protection & PROT_WRITE) != 0);
    if (pages.empty()) return refuse(EINVAL);
    void* const address = world_.map_pool(pages, protection);
    if (address == nullptr) return nullptr;
    MappedRange& range = mapped_[address] = {.records = record_maps(pages), .notice = notice};
    if (range.records.size() == pages.size()) return address;

    for (const std::uint32_t record : range.records)
        forget_map(lock, record);
    mapped_.erase(address);
    ::munmap(address, pages.size() * page_size_bytes);
    return refuse(ENOMEM);
}

int GrantHandle::unmap(void* address, std::uint32_t count) noexcept {
    const WorldLock lock{world_};
    const auto range = mapped_.find(address);
    if (range == mapped_.end() || range->second.records.size() != count) {
        errno = EINVAL;
        return -1;
    }
    drop(lock, address, range->second);
    mapped_.erase(range);
    return 0;
}

void GrantHandle::forget_map(const WorldLock&, std::uint32_t record) noexcept {
    auto& layout = world_.layout();
    --layout.pages[layout.maps[record].page].maps;
    layout.maps[record] = {};
}

void GrantHandle::drop(const WorldLock& lock, void* address, const MappedRange& range) noexcept {
    say_farewell(address, range.notice);
    ::munmap(address, range.records.size() * page_size_bytes);
    for (const std::uint32_t record : range.records)
        forget_map(lock, record);
}

void GrantHandle::say_farewell(void* address, const FarewellNotice& notice) noexcept {
    if (notice.offset_bytes < page_size_bytes) static_cast<std::byte*>(address)[notice.offset_bytes] = std::byte{0};
    if (notice.port < port_count) notify_peer(world_, notice.port);
}

void count_maps(SharedWorld& world, const WorldLock&) noexcept {
    for (auto& page : world.used_pages())
        page.maps = 0;
    for (const auto& map : world.used_maps()) {
        if (map.process != 0) ++world.layout().pages[map.page].maps;
    }
}

void forget_grants(SharedWorld& world, const WorldLock& lock, const ProcessSet& processes) noexcept {
    for (auto& page : world.used_pages()) {
        const Grant grant = from_word(page.grant.load());
        if (grant && processes[grant.process]) page.grant.store(no_grant, std::memory_order_release);
    }
    for (auto& map : world.used_maps()) {
        if (map.process != 0 && processes[map.process]) map = {};
    }
    count_maps(world, lock);
}

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
