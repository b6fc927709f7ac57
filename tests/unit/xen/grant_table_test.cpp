// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/xen/grant_table.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "libblktap/base/units.hpp"
#include "libblktap/xen/shared_pages.hpp"
#include "tests/fakexen/control.hpp"
#include "tests/fakexen/failures.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/thrown.hpp"
#include "tests/unit/xen/sides.hpp"

namespace blktap::xen {
namespace {

using testing::guest_domain;
using testing::our_domain;
using testing::thrown;

struct Sides {
    fakexen::World world;
    ShareHandle guest = testing::as_guest([] { return ShareHandle{}; });
    GrantTable grants;

    SharedPages share(std::uint32_t page_count, PageAccess access = PageAccess::read_write) {
        return {guest, our_domain, page_count, access};
    }
};

bool all_are(std::span<const std::byte> bytes, std::uint8_t value) {
    return std::ranges::all_of(bytes, [=](std::byte each) { return each == std::byte{value}; });
}

}  // namespace

TEST_CASE("grant table: without Xen, opening says what could not be opened", "[unit][xen]") {
    CHECK(std::string{thrown([] { GrantTable table; }).what()}.starts_with("xengnttab_open: "));
    CHECK(std::string{thrown([] { ShareHandle handle; }).what()}.starts_with("xengntshr_open: "));
}

TEST_CASE("guest pages: are the guest's memory, in the order of the references", "[unit][xen]") {
    Sides sides;
    const auto shared = sides.share(3);
    CHECK(all_are(shared.bytes(), 0));
    for (std::uint8_t page = 0; page < 3; ++page) {
        std::ranges::fill(shared.bytes().subspan(page * page_size_bytes, page_size_bytes), std::byte(page + 1));
    }
    const std::array order{shared.refs()[2], shared.refs()[0], shared.refs()[1]};
    const auto pages = sides.grants.map(guest_domain, order, PageAccess::read_write).value();
    REQUIRE(pages.bytes().size() == 3 * page_size_bytes);
    CHECK(all_are(pages.bytes().first(page_size_bytes), 3));
    CHECK(all_are(pages.bytes().subspan(page_size_bytes, page_size_bytes), 1));
    CHECK(all_are(pages.bytes().last(page_size_bytes), 2));
    pages.bytes()[0] = std::byte{77};
    CHECK(shared.bytes()[2 * page_size_bytes] == std::byte{77});
}

TEST_CASE("guest pages: are mapped until their owner dies, wherever it moved", "[unit][xen]") {
    Sides sides;
    const auto shared = sides.share(2);
    {
        auto pages = sides.grants.map(guest_domain, shared.refs(), PageAccess::read_only).value();
        CHECK(sides.world.pages_mapped_by(our_domain) == 2);
        const auto moved = std::move(pages);
        CHECK_FALSE(pages);
        CHECK(moved);
        CHECK(sides.world.is_mapped(shared.refs()[1]));
    }
    CHECK(sides.world.pages_mapped_by(our_domain) == 0);
    auto pages = sides.grants.map(guest_domain, shared.refs(), PageAccess::read_only).value();
    pages = sides.grants.map(guest_domain, shared.refs().first(1), PageAccess::read_only).value();
    CHECK(sides.world.pages_mapped_by(our_domain) == 1);
    CHECK_FALSE(sides.world.is_mapped(shared.refs()[1]));
}

TEST_CASE("grant table: a grant that the guest does not give is denied, and nothing stays mapped",
          "[unit][xen][XSA-371]") {
    Sides sides;
    const auto shared = sides.share(1);
    const auto read_only = sides.share(1, PageAccess::read_only);
    const auto map = [&](std::vector<GrantRef> refs, PageAccess access) {
        return sides.grants.map(guest_domain, refs, access);
    };
    CHECK(map({shared.refs()[0], 12345}, PageAccess::read_only).error() == Errc::grant_denied);
    CHECK(map({shared.refs()[0], read_only.refs()[0]}, PageAccess::read_write).error() == Errc::grant_denied);
    const GrantRef revoked = sides.share(1).refs()[0];
    CHECK(map({shared.refs()[0], revoked}, PageAccess::read_only).error() == Errc::grant_denied);
    CHECK(sides.world.pages_mapped_by(our_domain) == 0);
    CHECK(map({read_only.refs()[0]}, PageAccess::read_only).has_value());
}

TEST_CASE("grant table: a mapping that fails for our own reasons says so", "[unit][xen]") {
    Sides sides;
    const auto shared = sides.share(1);
    fakexen::fail_nth(fakexen::Call::map, 1, ENOMEM);
    CHECK(sides.grants.map(guest_domain, shared.refs(), PageAccess::read_only).error() == std::errc::not_enough_memory);
}

TEST_CASE("grant copy: carries bytes both ways, each segment with its status",
          "[unit][xen][XSA-361][XSA-362][XSA-365]") {
    Sides sides;
    const auto shared = sides.share(2);
    std::array<std::byte, 512> local{};
    shared.bytes()[100] = std::byte{9};

    std::array<CopySegment, 3> segments{};
    set_copy_from_guest(segments[0], guest_domain, shared.refs()[0], 100, local.data(), 512);
    set_copy_to_guest(segments[1], guest_domain, shared.refs()[1], 3584, local.data(), 512);
    set_copy_to_guest(segments[2], guest_domain, 54321, 0, local.data(), 512);
    CHECK(sides.grants.copy(segments) == std::error_code{});
    CHECK(segments[0].status == GNTST_okay);
    CHECK(segments[1].status == GNTST_okay);
    CHECK(segments[2].status == GNTST_bad_gntref);
    CHECK(local[0] == std::byte{9});
    CHECK(shared.bytes()[page_size_bytes + 3584] == std::byte{9});
}

TEST_CASE("grant copy: a segment that was never copied does not look like a success", "[unit][xen]") {
    CopySegment segment{};
    set_copy_from_guest(segment, guest_domain, 8, 0, &segment, 1);
    CHECK(segment.status != GNTST_okay);
    set_copy_to_guest(segment, guest_domain, 8, 0, &segment, 1);
    CHECK(segment.status != GNTST_okay);
}

TEST_CASE("grant copy: a call that fails as a whole returns its error; no segments is no call", "[unit][xen]") {
    Sides sides;
    const auto shared = sides.share(1);
    std::byte local{};
    std::array<CopySegment, 1> segments{};
    set_copy_from_guest(segments[0], guest_domain, shared.refs()[0], 0, &local, 1);
    fakexen::fail_nth(fakexen::Call::copy, 1, EFAULT);
    CHECK(sides.grants.copy({}) == std::error_code{});
    CHECK(sides.grants.copy(segments) == std::errc::bad_address);
}

TEST_CASE("shared pages: are granted until their owner dies, wherever it moved", "[unit][xen]") {
    Sides sides;
    {
        auto shared = sides.share(3);
        const auto moved = std::move(shared);
        CHECK(moved.refs().size() == 3);
        CHECK(shared.refs().empty());
        CHECK(sides.world.pages_shared_by(guest_domain) == 3);
    }
    CHECK(sides.world.pages_shared_by(guest_domain) == 0);
    auto shared = sides.share(3);
    shared = sides.share(2);
    CHECK(sides.world.pages_shared_by(guest_domain) == 2);
}

TEST_CASE("shared pages: the text of a refusal names the limit that causes it", "[unit][xen]") {
    Sides sides;
    for (const int error : {ENOSPC, ENOMEM}) {
        fakexen::fail_nth(fakexen::Call::share, 1, error);
        const std::string text = thrown([&] { sides.share(7); }).what();
        CHECK(text.find("7 pages with domain 0") != std::string::npos);
        CHECK(text.find("xen_gntalloc.limit") != std::string::npos);
    }
    fakexen::fail_nth(fakexen::Call::share, 1, EFAULT);
    const std::string text = thrown([&] { sides.share(7); }).what();
    CHECK(text.find("xen_gntalloc.limit") == std::string::npos);
}

}  // namespace blktap::xen
