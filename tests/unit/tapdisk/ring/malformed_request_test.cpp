// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Requests that a guest must not send: each is answered with the status of docs/ARCHITECTURE.md's table, with its own
// id and operation (the harness checks that), and the disk is served on.

#include "libblktap/xen/shared_pages.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/machine/vbd_harness.hpp"

using namespace blktap;
using namespace blktap::testing;
using ring::Operation;
using ring::RawRequest;
using ring::Segment;
using ring::Status;

namespace {

constexpr std::uint64_t disk_sectors = 16 * 1024;
constexpr std::uint32_t no_such_grant = 0x7fffffff;

VbdHarness::Options either_way() {
    VbdHarness::Options options;
    options.frontend.persistent = GENERATE(false, true);
    return options;
}

/// A request around segments that no helper would make.
RawRequest raw(std::uint8_t operation, std::uint64_t sector, std::uint16_t segment_count, Segment segment) {
    RawRequest request{};
    request.operation = operation;
    request.sector_number = sector;
    request.segment_count = segment_count;
    request.segments.fill(segment);
    return request;
}
RawRequest raw(Operation operation, std::uint64_t sector, std::uint16_t segment_count, Segment segment) {
    return raw(static_cast<std::uint8_t>(operation), sector, segment_count, segment);
}

/// Sends all, each with its number as id; each is refused with `status` and nothing reaches the disk.
void expect(VbdHarness& machine, Status status, std::vector<RawRequest> requests) {
    const std::uint64_t rejected = machine.counter("/requests/rejected");
    const std::uint64_t submits = machine.kernel().submit_calls();
    for (std::uint64_t id = 0; id < requests.size(); ++id) {
        requests[id].id = id;
        CAPTURE(id);
        CHECK(machine.run(requests[id]) == status);
    }
    CHECK(machine.counter("/requests/rejected") == rejected + requests.size());
    CHECK(machine.kernel().submit_calls() == submits);
    CHECK(machine.run(machine.read(1000, 0, machine.pages(1))) == Status::okay);
}

}  // namespace

TEST_CASE("malformed requests: an operation that is unknown or not offered is not supported", "[unit][tapdisk]") {
    VbdHarness machine{either_way()};
    const Segment segment = machine.pages(1).segments[0];
    RawRequest secure = VbdHarness::discard(0, {0, 8});
    secure.discard_flag = ring::discard_secure_flag;
    expect(machine, Status::not_supported,
           {raw(std::uint8_t{4}, 0, 1, segment), raw(std::uint8_t{7}, 0, 1, segment),
            raw(std::uint8_t{255}, ~0ULL, 255, segment), secure});
}

TEST_CASE("malformed requests: a wrong number of segments is an error", "[unit][tapdisk]") {
    VbdHarness machine{either_way()};
    const Segment segment = machine.pages(1).segments[0];
    RawRequest none = machine.indirect(Operation::read, 0, 0, machine.pages(1));
    none.segment_count = 0;
    RawRequest many = none;
    many.segment_count = 257;
    RawRequest most = none;
    most.segment_count = 65535;
    expect(machine, Status::error,
           {raw(Operation::read, 0, 0, segment), raw(Operation::write, 0, 0, segment),
            raw(Operation::read, 0, 12, segment), raw(Operation::write_barrier, 0, 255, segment),
            raw(Operation::flush_diskcache, 0, 12, segment), none, many, most});
}

TEST_CASE("malformed requests: a segment that is not inside of its page is an error", "[unit][tapdisk]") {
    VbdHarness machine{either_way()};
    const std::uint32_t ref = machine.pages(1).segments[0].gref;
    std::vector<RawRequest> requests;
    for (const Segment segment : {Segment{ref, 1, 0, 0}, Segment{ref, 0, 8, 0}, Segment{ref, 255, 255, 0},
                                  Segment{ref, 8, 8, 0}, Segment{ref, 7, 0, 0}}) {
        for (const Operation operation :
             {Operation::read, Operation::write, Operation::write_barrier, Operation::flush_diskcache}) {
            requests.push_back(raw(operation, 0, 1, segment));
        }
        GuestBuffer data = machine.pages(20);
        data.segments[19] = segment;
        requests.push_back(machine.indirect(Operation::write, 0, 0, data));
    }
    expect(machine, Status::error, std::move(requests));
}

TEST_CASE("malformed requests: sectors beyond the end of the disk are an error, however large their number",
          "[unit][tapdisk]") {
    VbdHarness machine{either_way()};
    const GuestBuffer large = machine.pages(20);
    const Segment segment = machine.pages(1).segments[0];
    std::vector<RawRequest> requests;
    for (const std::uint64_t sector :
         std::vector<std::uint64_t>{disk_sectors - 7, disk_sectors, ~0ULL, ~0ULL - 7, 1ULL << 63, (1ULL << 55) - 1}) {
        requests.push_back(raw(Operation::read, sector, 1, segment));
        requests.push_back(raw(Operation::write, sector, 1, segment));
        requests.push_back(raw(Operation::write_barrier, sector, 11, segment));
        requests.push_back(machine.indirect(Operation::read, 0, sector, large));
        requests.push_back(VbdHarness::discard(0, {sector, 8}));
        requests.push_back(VbdHarness::discard(0, {8, sector}));
    }
    requests.push_back(VbdHarness::discard(0, {0, 0}));
    expect(machine, Status::error, std::move(requests));
}

TEST_CASE("malformed requests: an indirect request around anything but a read or write is an error",
          "[unit][tapdisk]") {
    VbdHarness machine{either_way()};
    const GuestBuffer data = machine.pages(1);
    std::vector<RawRequest> requests;
    for (const int inner : {2, 3, 4, 5, 6, 99, 255}) {
        requests.push_back(machine.indirect(static_cast<Operation>(inner), 0, 0, data));
    }
    expect(machine, Status::error, std::move(requests));
}

TEST_CASE("malformed requests: an indirect page that was never granted is an error", "[unit][tapdisk]") {
    VbdHarness machine{either_way()};
    RawRequest request = machine.indirect(Operation::write, 0, 0, machine.pages(1));
    request.indirect_refs[0] = no_such_grant;
    expect(machine, Status::error, {request});
}

TEST_CASE("bad grants: a page that cannot be reached is an error for its request alone", "[unit][tapdisk]") {
    VbdHarness machine{either_way()};
    GuestBuffer good = machine.pages(4);
    GuestBuffer bad = good;
    bad.segments[GENERATE(0u, 3u)].gref = no_such_grant;
    good.fill(800, 1);
    machine.put(machine.write(1, 0, bad));
    machine.put(machine.write(2, 800, good));
    machine.put(machine.read(3, 0, bad));
    machine.put(machine.read(4, 400, good));
    machine.publish();
    machine.settle();
    CHECK(machine.answer(1) == Status::error);
    CHECK(machine.answer(2) == Status::okay);
    CHECK(machine.answer(3) == Status::error);
    CHECK(machine.answer(4) == Status::okay);
    CHECK(machine.image_bytes({0, 32}) == std::vector<std::byte>(32 * 512));  // nothing of the refused write
}

TEST_CASE("bad grants: a page of another domain is an error, and so is a revoked one", "[unit][tapdisk]") {
    VbdHarness machine{either_way()};
    const std::uint16_t owner = GENERATE(std::uint16_t{6}, VbdHarness::guest_domain);
    std::optional<xen::ShareHandle> handle;
    {
        const fakexen::ActAs domain{owner};
        handle.emplace();
    }
    std::optional<xen::SharedPages> pages{std::in_place, *handle, xen::DomainId{0}, 1u, xen::PageAccess::read_write};
    const GuestBuffer data{pages->bytes(), {{pages->refs()[0], 0, 7, 0}}};
    if (owner == VbdHarness::guest_domain) pages.reset();
    CHECK(machine.run(machine.write(1, 0, data)) == Status::error);
    CHECK(machine.run(machine.read(2, 0, data)) == Status::error);
}

TEST_CASE("bad grants: a read into a page that is granted read-only is an error", "[unit][tapdisk]") {
    VbdHarness machine{either_way()};
    const GuestBuffer data = machine.buffer({{}, {}}, xen::PageAccess::read_only);
    CHECK(machine.run(machine.read(1, 0, data)) == Status::error);
}

TEST_CASE("read-only disk: reads and flushes are served, what would change it is an error", "[unit][tapdisk]") {
    VbdHarness::Options options = either_way();
    options.access = Access::read_only;
    VbdHarness machine{options};
    const GuestBuffer data = machine.pages(2);
    const GuestBuffer large = machine.pages(20);
    CHECK(machine.run(machine.read(1, 0, data)) == Status::okay);
    CHECK(machine.run(VbdHarness::flush(2)) == Status::okay);
    CHECK(machine.run(machine.write(3, 0, data)) == Status::error);
    CHECK(machine.run(machine.write(4, 0, large)) == Status::error);
    CHECK(machine.run(machine.barrier(5, 0, data)) == Status::error);
    CHECK(machine.run(raw(Operation::write_barrier, 6, 0, {})) == Status::error);
    CHECK(machine.run(VbdHarness::discard(7, {0, 8})) == Status::error);
    CHECK(machine.run(machine.transfer(Operation::flush_diskcache, 8, 0, data)) == Status::error);
    CHECK(machine.run(machine.read(9, 0, large)) == Status::okay);
}

TEST_CASE("discard: when the toolstack disables it, it is not supported and the data stays", "[unit][tapdisk]") {
    VbdHarness::Options options;
    options.frontend.discard_enabled = GENERATE(false, true);
    VbdHarness machine{options};
    GuestBuffer data = machine.pages(8);
    data.fill(0, 1);
    REQUIRE(machine.run(machine.write(1, 0, data)) == Status::okay);
    const Status status = machine.run(VbdHarness::discard(2, {0, 64}));
    if (options.frontend.discard_enabled) {
        CHECK(status == Status::okay);
        CHECK(machine.image_bytes({0, 64}) == std::vector<std::byte>(64 * 512));
    } else {
        CHECK(status == Status::not_supported);
        CHECK(machine.image_bytes({0, 64}) == data.get());
    }
}
