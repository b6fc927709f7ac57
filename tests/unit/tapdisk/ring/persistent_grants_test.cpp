// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// PersistentGrants: a page is mapped once and found again, the number of mapped pages is bounded, no page in use is
// unmapped, and pages that the guest no longer uses make room.
#include "tapdisk/ring/persistent_grants.hpp"

#include <optional>
#include <random>

#include "libblktap/base/units.hpp"
#include "libblktap/xen/shared_pages.hpp"
#include "tests/fakexen/control.hpp"
#include "tests/fakexen/failures.hpp"
#include "tests/support/catch.hpp"

using namespace blktap;
using fakexen::Call;

namespace {

constexpr xen::DomainId guest = 5;

/// A guest with `count` granted pages, each beginning with its own number.
struct Guest {
    explicit Guest(std::uint32_t count) {
        const fakexen::ActAs domain{guest};
        handle.emplace();
        pages.emplace(*handle, xen::DomainId{0}, count, xen::PageAccess::read_write);
        for (std::uint32_t i = 0; i < count; ++i)
            pages->bytes()[i * page_size_bytes] = static_cast<std::byte>(i);
    }
    xen::GrantRef ref(std::size_t i) const { return pages->refs()[i]; }

    fakexen::World world;
    std::optional<xen::ShareHandle> handle;
    std::optional<xen::SharedPages> pages;
    xen::GrantTable table;
};

/// Uses page `i` for a moment. False: it is not in place.
bool use(PersistentGrants& grants, const Guest& its_guest, std::size_t i) {
    const PersistentGrants::Page page = grants.acquire(its_guest.ref(i));
    if (page.address == nullptr) return false;
    REQUIRE(*page.address == static_cast<std::byte>(i));
    grants.release(page.entry);
    return true;
}

}  // namespace

TEST_CASE("persistent grants: a page is mapped at its first use and found at each later one", "[unit][tapdisk]") {
    Guest t{4};
    PersistentGrants grants{t.table, guest, 8};
    for (int round = 0; round < 100; ++round) {
        for (std::size_t i = 0; i < 4; ++i)
            REQUIRE(use(grants, t, i));
    }
    CHECK(grants.map_calls() == 4);
    CHECK(grants.mapped() == 4);
    CHECK(t.world.pages_mapped_by(0) == 4);
}

TEST_CASE("persistent grants: never more than the limit are mapped, and none goes while it is in use",
          "[unit][tapdisk]") {
    Guest t{32};
    PersistentGrants grants{t.table, guest, 8};
    std::vector<PersistentGrants::Page> used;
    for (std::size_t i = 0; i < 8; ++i)
        REQUIRE(used.emplace_back(grants.acquire(t.ref(i))).address != nullptr);
    for (int round = 0; round < 200; ++round) {
        for (std::size_t i = 8; i < 32; ++i)
            CHECK(grants.acquire(t.ref(i)).address == nullptr);
    }
    CHECK(grants.mapped() == 8);
    CHECK(t.world.pages_mapped_by(0) == 8);
    for (std::size_t i = 0; i < 8; ++i)
        CHECK(t.world.is_mapped(t.ref(i)));
    for (const PersistentGrants::Page& page : used)
        grants.release(page.entry);
}

TEST_CASE("persistent grants: a page in use by several requests stays until the last is done", "[unit][tapdisk]") {
    Guest t{16};
    PersistentGrants grants{t.table, guest, 4};
    const PersistentGrants::Page first = grants.acquire(t.ref(0));
    const PersistentGrants::Page second = grants.acquire(t.ref(0));
    REQUIRE(first.address != nullptr);
    REQUIRE(second.address == first.address);
    grants.release(first.entry);
    for (int round = 0; round < 100; ++round) {
        for (std::size_t i = 1; i < 16; ++i)
            (void)use(grants, t, i);
    }
    CHECK(t.world.is_mapped(t.ref(0)));
    grants.release(second.entry);
}

TEST_CASE("persistent grants: pages that the guest uses no more make room for those that it uses", "[unit][tapdisk]") {
    Guest t{16};
    PersistentGrants grants{t.table, guest, 8};
    for (std::size_t i = 0; i < 8; ++i)
        REQUIRE(use(grants, t, i));
    for (int round = 0; round < 100; ++round) {
        (void)use(grants, t, 7);  // still in use, so it stays
        for (std::size_t i = 8; i < 15; ++i)
            (void)use(grants, t, i);
    }
    const std::uint64_t maps = grants.map_calls();
    for (std::size_t i = 7; i < 15; ++i)
        CHECK(use(grants, t, i));
    CHECK(grants.map_calls() == maps);
    for (std::size_t i = 0; i < 7; ++i)
        CHECK_FALSE(t.world.is_mapped(t.ref(i)));
}

TEST_CASE("persistent grants: a guest that uses more pages than fit does not make us map all the time",
          "[unit][tapdisk]") {
    Guest t{64};
    PersistentGrants grants{t.table, guest, 32};
    std::size_t in_place = 0;
    for (int round = 0; round < 1000; ++round) {
        for (std::size_t i = 0; i < 64; ++i)
            in_place += use(grants, t, i) ? 1 : 0;
    }
    CHECK(in_place >= 1000 * 24);
    CHECK(grants.map_calls() <= 1000);
}

TEST_CASE("persistent grants: a page that cannot be mapped is tried again the next time", "[unit][tapdisk]") {
    Guest t{2};
    PersistentGrants grants{t.table, guest, 4};
    fakexen::fail_nth(Call::map, 1);
    CHECK(grants.acquire(t.ref(0)).address == nullptr);
    CHECK(grants.mapped() == 0);
    CHECK(use(grants, t, 0));
    CHECK(grants.acquire(0x7fffffff).address == nullptr);
    CHECK(grants.mapped() == 1);
}

TEST_CASE("persistent grants: all pages are let go of with the object", "[unit][tapdisk]") {
    Guest t{8};
    {
        PersistentGrants grants{t.table, guest, 8};
        for (std::size_t i = 0; i < 8; ++i)
            REQUIRE(use(grants, t, i));
        CHECK(t.world.pages_mapped_by(0) == 8);
    }
    CHECK(t.world.pages_mapped_by(0) == 0);
}

TEST_CASE("persistent grants: in random use every page that is given out is the one that was asked for",
          "[unit][tapdisk]") {
    Guest t{100};
    PersistentGrants grants{t.table, guest, 30};
    std::mt19937 random(5);
    std::vector<std::uint16_t> held;  // entries
    for (int step = 0; step < 20000; ++step) {
        if (held.size() > 20 || (!held.empty() && random() % 2 == 0)) {
            std::swap(held[random() % held.size()], held.back());
            grants.release(held.back());
            held.pop_back();
            continue;
        }
        const std::size_t i = random() % 100;
        const PersistentGrants::Page page = grants.acquire(t.ref(i));
        if (page.address == nullptr) continue;
        REQUIRE(*page.address == static_cast<std::byte>(i));
        held.push_back(page.entry);
        REQUIRE(grants.mapped() <= 30);
    }
    for (const std::uint16_t entry : held)
        grants.release(entry);
}
