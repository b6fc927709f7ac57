// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The mapping side of grants. Every mapped page has a record in the world, so that what a dead process had mapped can
// be told, and a page that its owner gave up is not used again while somebody still sees it.
#include <algorithm>
#include <cerrno>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <utility>

#include "libblktap/base/error.hpp"
#include "tests/fakexen/channels.hpp"
#include "tests/fakexen/failures.hpp"
#include "tests/fakexen/grants.hpp"

namespace fakexen {
namespace {

void* refuse(int error) noexcept {
    errno = error;
    return nullptr;
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

}  // namespace fakexen
