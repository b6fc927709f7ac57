// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/attack/hostile_memory.hpp"

#include <cstring>

#include "tests/attack/victim.hpp"

namespace blktap::attack {
namespace {

constexpr xen::DomainId backend_domain = 0;
constexpr std::size_t revocable_pages = 6;

}  // namespace

HostileMemory::HostileMemory(replay::FrontendHost& host, bool revocable, Territory territory)
    : territory_(territory),
      descriptors_(host.share(descriptor_pages, xen::PageAccess::read_write)),
      data_(host.share(pages, xen::PageAccess::read_write)) {
    if (!revocable) return;
    read_only_ = host.share(2, xen::PageAccess::read_only);
    grants_.emplace();
    revocable_.resize(revocable_pages);
}

std::uint32_t HostileMemory::draw_ref(SeededRandom& random) const {
    const auto one_of = [&](std::span<const std::uint32_t> refs) {
        return refs[random.between<std::size_t>(0, refs.size() - 1)];
    };
    switch (random.between(0u, 15u)) {
        case 0:
            return random.any<std::uint32_t>();
        case 1:
            return one_of(descriptors_.refs());
        case 2:
        case 3:
            if (!read_only_.refs().empty()) return one_of(read_only_.refs());
            break;
        case 4:
        case 5:
        case 6:
            if (grants_) return revocable_refs_[random.between<std::size_t>(0, revocable_refs_.size() - 1)];
            break;
        default:
            break;
    }
    return one_of(data_.refs());
}

ring::Segment HostileMemory::draw_segment(SeededRandom& random) const {
    const auto first = random.between<std::uint8_t>(0, 7);
    ring::Segment segment{draw_ref(random), first, random.between<std::uint8_t>(first, 7), 0};
    if (random.one_in(60)) segment.first_sector = random.any<std::uint8_t>();
    if (random.one_in(60)) segment.last_sector = random.any<std::uint8_t>();
    return segment;
}

std::uint32_t HostileMemory::draw_descriptor_page(SeededRandom& random) const {
    if (random.one_in(10)) return draw_ref(random);
    return descriptors_.refs()[random.between<std::size_t>(0, descriptor_pages - 1)];
}

ring::RawRequest HostileMemory::draw_request(SeededRandom& random) const {
    ring::RawRequest request{};
    request.operation = random.one_in(30) ? random.any<std::uint8_t>() : random.between<std::uint8_t>(0, 6);
    request.id = random.one_in(2) ? random.between<std::uint64_t>(0, 9) : random.any<std::uint64_t>();
    request.handle = random.any<std::uint16_t>();
    request.sector_number = territory_.draw(random);
    if (request.indirect()) {
        request.indirect_operation =
            random.one_in(20) ? random.any<std::uint8_t>() : random.between<std::uint8_t>(0, 1);
        request.segment_count = random.one_in(10) ? random.any<std::uint16_t>() : random.between<std::uint16_t>(1, 256);
        for (auto& ref : request.indirect_refs)
            ref = draw_descriptor_page(random);
    } else if (request.operation == static_cast<std::uint8_t>(ring::Operation::discard)) {
        request.discard_flag = random.one_in(10) ? random.any<std::uint8_t>() : std::uint8_t{0};
        request.discard_sectors =
            random.one_in(4) ? random.any<std::uint64_t>() : random.between<std::uint64_t>(0, 2000);
    } else {
        request.segment_count = random.one_in(20) ? random.any<std::uint8_t>() : random.between<std::uint8_t>(0, 11);
        for (auto& segment : request.segments)
            segment = draw_segment(random);
    }
    return request;
}

void HostileMemory::revoke_or_grant(SeededRandom& random) {
    if (!grants_) return;
    auto& page = revocable_[random.between<std::size_t>(0, revocable_.size() - 1)];
    if (page) return page.reset();
    page.emplace(*grants_, backend_domain, 1,
                 random.one_in(4) ? xen::PageAccess::read_only : xen::PageAccess::read_write);
    revocable_refs_[next_ref_++ % revocable_refs_.size()] = page->refs().front();
}

void HostileMemory::rewrite(SeededRandom& random) const {
    if (random.one_in(2)) {
        const ring::Segment segment = draw_segment(random);
        const auto bytes = descriptors_.bytes();
        const std::size_t at = random.between<std::size_t>(0, bytes.size() / sizeof segment - 1) * sizeof segment;
        std::uint64_t word = 0;
        std::memcpy(&word, &segment, sizeof word);
        __atomic_store_n(reinterpret_cast<std::uint64_t*>(&bytes[at]), word, __ATOMIC_RELAXED);
    } else {
        const auto bytes = data_.bytes();
        const std::size_t at = random.between<std::size_t>(0, bytes.size() / 8 - 1) * 8;
        __atomic_store_n(reinterpret_cast<std::uint64_t*>(&bytes[at]), random.any<std::uint64_t>(), __ATOMIC_RELAXED);
    }
}

}  // namespace blktap::attack
