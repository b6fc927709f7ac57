// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Grants of the simulated machine, as the C library gives them.
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "libblktap/base/unique_fd.hpp"
#include "tests/fakexen/control.hpp"
#include "tests/fakexen/grants.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/unit/xen/sides.hpp"

namespace fakexen {
namespace {

using blktap::testing::as_guest;
using blktap::testing::guest_domain;
using blktap::testing::our_domain;

constexpr std::uint16_t stranger_domain = 9;

using GrantTab = std::unique_ptr<xengnttab_handle, decltype(&xengnttab_close)>;
using GrantShare = std::unique_ptr<xengntshr_handle, decltype(&xengntshr_close)>;
GrantTab open_tab() {
    return {xengnttab_open(nullptr, 0), xengnttab_close};
}
GrantShare open_share() {
    return {xengntshr_open(nullptr, 0), xengntshr_close};
}

struct Machine {
    World world;
    GrantShare guest = as_guest(open_share);
    GrantTab ours = open_tab();
    std::vector<std::uint32_t> refs;

    char* share(int count, bool writable = true, std::uint16_t grantee = our_domain) {
        refs.resize(static_cast<std::size_t>(count));
        return static_cast<char*>(xengntshr_share_pages(guest.get(), grantee, count, refs.data(), writable ? 1 : 0));
    }
    char* map(int protection) {
        const auto count = static_cast<std::uint32_t>(refs.size());
        return static_cast<char*>(
            xengnttab_map_domain_grant_refs(ours.get(), count, guest_domain, refs.data(), protection));
    }
    int copy_status(xengnttab_grant_copy_segment_t segment) {
        segment.status = 1;
        REQUIRE(xengnttab_grant_copy(ours.get(), 1, &segment) == 0);
        return segment.status;
    }
};

xengnttab_grant_copy_segment_t from_guest(std::uint32_t ref, std::uint16_t offset, void* local, std::uint16_t length) {
    xengnttab_grant_copy_segment_t segment{};
    segment.source.foreign = {.ref = ref, .offset = offset, .domid = guest_domain};
    segment.dest.virt = local;
    segment.len = length;
    segment.flags = GNTCOPY_source_gref;
    return segment;
}

xengnttab_grant_copy_segment_t to_guest(void* local, std::uint32_t ref, std::uint16_t offset, std::uint16_t length) {
    xengnttab_grant_copy_segment_t segment{};
    segment.source.virt = local;
    segment.dest.foreign = {.ref = ref, .offset = offset, .domid = guest_domain};
    segment.len = length;
    segment.flags = GNTCOPY_dest_gref;
    return segment;
}

}  // namespace

TEST_CASE("fakexen: a page granted to another domain can be neither mapped nor copied", "[unit][fakexen]") {
    Machine machine;
    REQUIRE(machine.share(1, true, stranger_domain) != nullptr);
    char local = 0;
    errno = 0;
    CHECK(machine.map(PROT_READ) == nullptr);
    CHECK(errno == EINVAL);
    CHECK(machine.copy_status(from_guest(machine.refs[0], 0, &local, 1)) == GNTST_permission_denied);
}

TEST_CASE("fakexen: a reference is refused under the number of a domain that did not give it", "[unit][fakexen]") {
    Machine machine;
    REQUIRE(machine.share(1) != nullptr);
    char local = 0;
    auto segment = from_guest(machine.refs[0], 0, &local, 1);
    segment.source.foreign.domid = stranger_domain;
    CHECK(machine.copy_status(segment) == GNTST_bad_gntref);
    segment.source.foreign.domid = DOMID_IO;
    CHECK(machine.copy_status(segment) == GNTST_bad_domain);
    for (const std::uint32_t domain : {std::uint32_t{stranger_domain}, 0x10000U + guest_domain}) {
        CHECK(xengnttab_map_grant_ref(machine.ours.get(), domain, machine.refs[0], PROT_READ) == nullptr);
    }
}

TEST_CASE("fakexen: references that never existed are refused, the greatest too", "[unit][fakexen]") {
    Machine machine;
    char local = 0;
    for (const std::uint32_t ref : {0U, first_ref - 1, first_ref, first_ref + page_count, UINT32_MAX}) {
        CHECK(machine.copy_status(from_guest(ref, 0, &local, 1)) == GNTST_bad_gntref);
        CHECK(xengnttab_map_grant_ref(machine.ours.get(), guest_domain, ref, PROT_READ) == nullptr);
    }
}

TEST_CASE("fakexen: a page granted for reading cannot be written", "[unit][fakexen]") {
    Machine machine;
    char* const page = machine.share(1, false);
    char local = 'x';
    CHECK(machine.copy_status(to_guest(&local, machine.refs[0], 0, 1)) == GNTST_permission_denied);
    CHECK(page[0] == 0);
    CHECK(machine.copy_status(from_guest(machine.refs[0], 0, &local, 1)) == GNTST_okay);
    CHECK(machine.map(PROT_READ | PROT_WRITE) == nullptr);
    CHECK(machine.map(PROT_READ) != nullptr);
}

TEST_CASE("fakexen: a copy may end with its page but not go beyond it", "[unit][fakexen]") {
    Machine machine;
    REQUIRE(machine.share(2) != nullptr);
    std::array<char, 8192> local{};
    CHECK(machine.copy_status(from_guest(machine.refs[0], 4095, local.data(), 1)) == GNTST_okay);
    CHECK(machine.copy_status(from_guest(machine.refs[0], 0, local.data(), 4096)) == GNTST_okay);
    CHECK(machine.copy_status(from_guest(machine.refs[0], 4095, local.data(), 2)) == GNTST_bad_copy_arg);
    CHECK(machine.copy_status(to_guest(local.data(), machine.refs[0], 65535, 65535)) == GNTST_bad_copy_arg);
}

TEST_CASE("fakexen: a copy between two pages of the guest needs no memory of ours", "[unit][fakexen]") {
    Machine machine;
    char* const pages = machine.share(2);
    std::strcpy(pages, "hello");
    auto segment = to_guest(nullptr, machine.refs[1], 10, 6);
    segment.source.foreign = {.ref = machine.refs[0], .offset = 0, .domid = guest_domain};
    segment.flags = GNTCOPY_source_gref | GNTCOPY_dest_gref;
    CHECK(machine.copy_status(segment) == GNTST_okay);
    CHECK(std::strcmp(pages + 4096 + 10, "hello") == 0);
}

TEST_CASE("fakexen: a copy without any grant fails as a call", "[unit][fakexen]") {
    Machine machine;
    auto segment = from_guest(0, 0, nullptr, 0);
    segment.flags = 0;
    CHECK(xengnttab_grant_copy(machine.ours.get(), 1, &segment) == -1);
    CHECK(errno == EINVAL);
}

TEST_CASE("fakexen: a bad segment does not keep the others from being copied", "[unit][fakexen]") {
    Machine machine;
    char* const page = machine.share(1);
    char local = 'y';
    std::array segments{to_guest(&local, 4242, 0, 1), to_guest(&local, machine.refs[0], 0, 1)};
    CHECK(xengnttab_grant_copy(machine.ours.get(), 2, segments.data()) == 0);
    CHECK(segments[0].status == GNTST_bad_gntref);
    CHECK(segments[1].status == GNTST_okay);
    CHECK(page[0] == 'y');
}

TEST_CASE("fakexen: pages of several domains map as one range", "[unit][fakexen]") {
    Machine machine;
    const auto stranger = [] {
        const ActAs other{stranger_domain};
        return open_share();
    }();
    machine.share(1)[0] = 'g';
    std::uint32_t strange_ref = 0;
    static_cast<char*>(xengntshr_share_pages(stranger.get(), our_domain, 1, &strange_ref, 1))[0] = 's';
    std::array<std::uint32_t, 2> domains{stranger_domain, guest_domain};
    std::array<std::uint32_t, 2> refs{strange_ref, machine.refs[0]};
    const auto* const both =
        static_cast<char*>(xengnttab_map_grant_refs(machine.ours.get(), 2, domains.data(), refs.data(), PROT_READ));
    REQUIRE(both != nullptr);
    CHECK(both[0] == 's');
    CHECK(both[4096] == 'g');
}

TEST_CASE("fakexen: a mapped range is unmapped as a whole or not at all", "[unit][fakexen]") {
    Machine machine;
    REQUIRE(machine.share(3) != nullptr);
    char* const range = machine.map(PROT_READ);
    CHECK(xengnttab_unmap(machine.ours.get(), range, 2) == -1);
    CHECK(errno == EINVAL);
    CHECK(xengnttab_unmap(machine.ours.get(), range + 4096, 2) == -1);
    CHECK(machine.world.pages_mapped_by(our_domain) == 3);
    CHECK(xengnttab_unmap(machine.ours.get(), range, 3) == 0);
    CHECK(machine.world.pages_mapped_by(our_domain) == 0);
    CHECK(xengnttab_unmap(machine.ours.get(), range, 3) == -1);
}

TEST_CASE("fakexen: no pages can be neither mapped nor shared", "[unit][fakexen]") {
    Machine machine;
    CHECK(machine.map(PROT_READ) == nullptr);
    CHECK(machine.share(0) == nullptr);
    CHECK(xengntshr_share_pages(machine.guest.get(), our_domain, -1, nullptr, 1) == nullptr);
    CHECK(errno == EINVAL);
}

TEST_CASE("fakexen: a revoked page stays whole for who has it mapped, and is closed for all others",
          "[unit][fakexen]") {
    Machine machine;
    char* const page = machine.share(1);
    page[0] = 'a';
    const char* const mapped = machine.map(PROT_READ);
    REQUIRE(xengntshr_unshare(machine.guest.get(), page, 1) == 0);
    const std::uint32_t revoked = machine.refs[0];
    char local = 0;
    CHECK(machine.copy_status(from_guest(revoked, 0, &local, 1)) == GNTST_bad_gntref);
    CHECK(machine.map(PROT_READ) == nullptr);
    CHECK(mapped[0] == 'a');

    // Go once round the pool: the page is nobody's, and yet not given out.
    for (std::uint32_t seen = 0; seen < page_count; seen += 4096) {
        char* const others = machine.share(4096);
        REQUIRE(others != nullptr);
        CHECK((revoked < machine.refs.front() || revoked > machine.refs.back()));
        xengntshr_unshare(machine.guest.get(), others, 4096);
    }
    CHECK(mapped[0] == 'a');
}

TEST_CASE("fakexen: pages are zero when shared, whatever was in them before", "[unit][fakexen]") {
    Machine machine;
    char* const page = machine.share(1);
    char* const mapped = machine.map(PROT_READ | PROT_WRITE);
    REQUIRE(xengntshr_unshare(machine.guest.get(), page, 1) == 0);
    mapped[5] = 'x';
    REQUIRE(xengnttab_unmap(machine.ours.get(), mapped, 1) == 0);
    const std::uint32_t before = machine.refs[0];

    const char* const all = machine.share(static_cast<int>(page_count));
    REQUIRE(all != nullptr);
    CHECK(all[(before - machine.refs[0]) * page_size_bytes + 5] == 0);
}

TEST_CASE("fakexen: when all pages are shared, the next is refused with ENOSPC", "[unit][fakexen]") {
    Machine machine;
    REQUIRE(machine.share(static_cast<int>(page_count)) != nullptr);
    CHECK(machine.share(1) == nullptr);
    CHECK(errno == ENOSPC);
}

TEST_CASE("fakexen: closing a handle takes back all that came through it", "[unit][fakexen]") {
    Machine machine;
    REQUIRE(machine.share(4) != nullptr);
    REQUIRE(machine.map(PROT_READ) != nullptr);
    machine.ours.reset();
    CHECK(machine.world.pages_mapped_by(our_domain) == 0);
    machine.guest.reset();
    CHECK(machine.world.pages_shared_by(guest_domain) == 0);
}

TEST_CASE("fakexen: unmapping zeroes the byte that was asked for", "[unit][fakexen]") {
    Machine machine;
    char* const page = machine.share(1);
    page[7] = 1;
    constexpr auto no_port = static_cast<evtchn_port_t>(-1);
    void* const mapped = xengnttab_map_grant_ref_notify(machine.ours.get(), guest_domain, machine.refs[0],
                                                        PROT_READ | PROT_WRITE, 7, no_port);
    REQUIRE(mapped != nullptr);
    CHECK(page[7] == 1);
    CHECK(xengnttab_unmap(machine.ours.get(), mapped, 1) == 0);
    CHECK(page[7] == 0);
}

TEST_CASE("fakexen: direct I/O goes straight to mapped guest pages", "[unit][fakexen]") {
    Machine machine;
    char* const pages = machine.share(4);
    char* const mapped = machine.map(PROT_READ | PROT_WRITE);
    const blktap::testing::TemporaryDirectory directory{"/var/tmp"};
    const auto path = directory.make_file("disk", 4 * 4096);
    const blktap::UniqueFd file{::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC)};
    REQUIRE(file);
    std::memset(pages, 'd', 4 * 4096);
    REQUIRE(::pwrite(file.get(), mapped, 4 * 4096, 0) == 4 * 4096);
    std::memset(pages, 0, 4 * 4096);
    REQUIRE(::pread(file.get(), mapped, 4 * 4096, 0) == 4 * 4096);
    CHECK(pages[0] == 'd');
    CHECK(pages[4 * 4096 - 1] == 'd');
}

TEST_CASE("fakexen: what it does not fake says ENOSYS", "[unit][fakexen]") {
    Machine machine;
    std::uint32_t fd = 0;
    CHECK(xengnttab_dmabuf_exp_from_refs(machine.ours.get(), guest_domain, 0, 0, nullptr, &fd) == -1);
    CHECK(errno == ENOSYS);
    CHECK(xengnttab_dmabuf_exp_wait_released(machine.ours.get(), 0, 0) == -1);
    CHECK(xengnttab_dmabuf_imp_to_refs(machine.ours.get(), guest_domain, 0, 0, nullptr) == -1);
    CHECK(xengnttab_dmabuf_imp_release(machine.ours.get(), 0) == -1);
    CHECK(xengnttab_set_max_grants(machine.ours.get(), 1) == 0);
    CHECK(xengnttab_fd(machine.ours.get()) >= 0);
    CHECK(xengntshr_fd(machine.guest.get()) >= 0);
}

}  // namespace fakexen
