// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Pages are poisoned before every request, so that a read that changed nothing, or too much, shows.
#include "tests/replay/script/script_data.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

namespace blktap::replay {
namespace {

constexpr std::byte poison{0xee};
constexpr std::size_t name_bytes = 8;
constexpr std::size_t unit_bytes = name_bytes + sizeof(std::uint64_t);

SectorBytes sector_in(std::span<std::byte> page, unsigned index) noexcept {
    return page.subspan(index * sector_size_bytes).first<sector_size_bytes>();
}

bool all(ConstSectorBytes sector, std::byte value) noexcept {
    return std::ranges::all_of(sector, [value](std::byte byte) { return byte == value; });
}

bool holds(ConstSectorBytes sector, const std::string& name, std::uint64_t number) noexcept {
    std::array<std::byte, sector_size_bytes> wanted;
    write_pattern(wanted, name, number);
    return std::ranges::equal(sector, wanted);
}

std::string first_bytes(ConstSectorBytes sector) {
    std::string text = "bytes";
    for (const std::byte byte : sector.first<16>()) {
        std::array<char, 4> hex{};
        std::snprintf(hex.data(), hex.size(), " %02x", std::to_integer<unsigned>(byte));
        text += hex.data();
    }
    return text;
}

bool well_formed(const ScriptSegment& segment) noexcept {
    return segment.first <= segment.last && segment.last < sectors_per_page;
}

/// Calls `visit(sector bytes, inside the segment, its number)` for every sector of every page that is ours.
template <class Visit>
void for_each_sector(const ScriptRequest& request, const std::vector<ScriptPage>& pages, Visit visit) {
    std::uint64_t number = request.sector;
    for (std::size_t i = 0; i < pages.size(); ++i) {
        const ScriptSegment& segment = request.segments[i];
        if (!well_formed(segment)) continue;
        for (unsigned k = 0; k < sectors_per_page; ++k) {
            const bool inside = k >= segment.first && k <= segment.last;
            if (!pages[i].bytes.empty()) visit(sector_in(pages[i].bytes, k), inside, number);
            if (inside) ++number;
        }
    }
}

}  // namespace

void write_pattern(SectorBytes sector, const std::string& name, std::uint64_t number) noexcept {
    std::ranges::fill(sector, std::byte{0});
    if (name == "zeros") return;
    std::array<char, name_bytes> label;
    label.fill(' ');
    std::copy_n(name.begin(), std::min(name.size(), name_bytes), label.begin());
    for (std::size_t at = 0; at < sector.size(); at += unit_bytes) {
        std::memcpy(sector.data() + at, label.data(), name_bytes);
        std::memcpy(sector.data() + at + name_bytes, &number, sizeof(number));
    }
}

std::string describe_pattern(ConstSectorBytes sector) {
    if (all(sector, std::byte{0})) return "zeros";
    if (all(sector, poison)) return "poison: the page is untouched";
    std::string name(reinterpret_cast<const char*>(sector.data()), name_bytes);
    name.erase(name.find_last_not_of(' ') + 1);
    std::uint64_t number = 0;
    std::memcpy(&number, sector.data() + name_bytes, sizeof(number));
    return holds(sector, name, number) ? name + " of sector " + std::to_string(number) : first_bytes(sector);
}

ScriptPages::ScriptPages(Frontend& frontend, const Script& script) {
    std::size_t writable = 1;
    std::size_t read_only = 0;
    for (const ScriptStatement& statement : script.statements) {
        std::size_t total = 0;
        std::size_t unwritable = 0;
        for (const ScriptRequest& request : statement.requests) {
            total += request.segments.size() + 1 + request.segments.size() / ring::segments_per_indirect_page;
            unwritable += static_cast<std::size_t>(
                std::ranges::count(request.segments, ScriptSegment::Page::read_only, &ScriptSegment::page));
        }
        writable = std::max(writable, total);
        read_only = std::max(read_only, unwritable);
    }
    writable_ = frontend.share(static_cast<std::uint32_t>(writable));
    if (read_only > 0) read_only_ = frontend.share(static_cast<std::uint32_t>(read_only), xen::PageAccess::read_only);
}

ScriptPage ScriptPages::page(const FrontendPages& pages, std::size_t index) noexcept {
    return {pages.bytes().subspan(index * page_size_bytes, page_size_bytes), pages.refs()[index]};
}

PlacedRequest::PlacedRequest(const ScriptRequest& request, ScriptPages& pages) : script_(&request) {
    for (const ScriptSegment& segment : request.segments) {
        switch (segment.page) {
            case ScriptSegment::Page::writable:
                pages_.push_back(pages.take_writable());
                break;
            case ScriptSegment::Page::read_only:
                pages_.push_back(pages.take_read_only());
                break;
            case ScriptSegment::Page::gref:
                pages_.push_back({{}, segment.gref});
                break;
        }
    }
    fill();
    raw_.id = request.id;
    raw_.operation = request.operation;
    raw_.indirect_operation = request.inner;
    raw_.sector_number = request.sector;
    raw_.discard_sectors = request.sectors;
    raw_.discard_flag = request.flag;
    raw_.handle = request.handle;
    raw_.segment_count = request.segment_count;
    if (request.indirect()) {
        put_descriptors(pages);
    } else {
        put_segments(raw_.segments, 0);
    }
}

void PlacedRequest::put_segments(std::span<ring::Segment> out, std::size_t first) const noexcept {
    const std::size_t count = std::min(out.size(), pages_.size() - std::min(first, pages_.size()));
    for (std::size_t i = 0; i < count; ++i) {
        const ScriptSegment& segment = script_->segments[first + i];
        out[i] = {pages_[first + i].ref, segment.first, segment.last, 0};
    }
}

void PlacedRequest::put_descriptors(ScriptPages& pages) noexcept {
    raw_.indirect_refs.fill(0);
    for (std::size_t page = 0, first = 0; page < raw_.indirect_refs.size() && (page == 0 || first < pages_.size());
         ++page, first += ring::segments_per_indirect_page) {
        const ScriptPage descriptors = pages.take_writable();
        std::ranges::fill(descriptors.bytes, std::byte{0});
        put_segments({reinterpret_cast<ring::Segment*>(descriptors.bytes.data()), ring::segments_per_indirect_page},
                     first);
        raw_.indirect_refs[page] = descriptors.ref;
    }
    if (script_->descriptor_refs.empty()) return;
    raw_.indirect_refs.fill(0);
    std::ranges::copy(script_->descriptor_refs, raw_.indirect_refs.begin());
}

void PlacedRequest::fill() noexcept {
    for (const ScriptPage& page : pages_)
        std::ranges::fill(page.bytes, poison);
    if (script_->fill.empty()) return;
    for_each_sector(*script_, pages_, [this](SectorBytes sector, bool inside, std::uint64_t number) {
        if (inside) write_pattern(sector, script_->fill, number);
    });
}

std::optional<std::string> PlacedRequest::check_data() const {
    std::optional<std::string> wrong;
    if (script_->expect.empty()) return wrong;
    for_each_sector(*script_, pages_, [&](SectorBytes sector, bool inside, std::uint64_t number) {
        if (wrong) return;
        if (inside && !holds(sector, script_->expect, number)) {
            wrong = "expected " + script_->expect + " of sector " + std::to_string(number) + ", got " +
                    describe_pattern(sector);
        } else if (!inside && !all(sector, poison)) {
            wrong = "expected the page to stay untouched beside its segment, near sector " + std::to_string(number) +
                    ", got " + describe_pattern(sector);
        }
    });
    return wrong;
}

}  // namespace blktap::replay
