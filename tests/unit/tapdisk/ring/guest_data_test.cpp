// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Guest data, through the whole path: with any layout of the ring, cut of the segments and access to the guest's pages,
// each byte of a request arrives at its place on the disk and in the guest.
#include "tapdisk/ring/guest_data.hpp"

#include "tests/fakexen/failures.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/machine/vbd_harness.hpp"
#include "tests/support/model_disk.hpp"

using namespace blktap;
using namespace blktap::testing;
using ring::Operation;
using ring::Status;

namespace {

VbdHarness::Options with(ring::Protocol protocol, bool persistent) {
    VbdHarness::Options options;
    options.frontend.protocol = protocol;
    options.frontend.persistent = persistent;
    return options;
}

/// `count` segments, each cut differently.
std::vector<Shape> odd_shapes(std::size_t count) {
    std::vector<Shape> shapes;
    for (std::size_t i = 0; i < count; ++i) {
        const auto first = static_cast<std::uint8_t>(i * 5 % 8);
        shapes.push_back({first, static_cast<std::uint8_t>(first + i * 3 % (8 - first))});
    }
    return shapes;
}

/// Writes `shapes` at `sector`, looks at the image, reads it back through segments cut in another way.
void write_and_read(VbdHarness& machine, std::uint64_t sector, const std::vector<Shape>& shapes) {
    static std::uint64_t stamp = 1;
    GuestBuffer out = machine.buffer(shapes);
    const SectorRange range = out.at(sector);
    out.fill(sector, ++stamp);
    REQUIRE(machine.run(machine.write(2 * stamp, sector, out)) == Status::okay);
    CHECK(machine.image_bytes(range) == out.get());

    std::vector<Shape> backwards(shapes.rbegin(), shapes.rend());
    const GuestBuffer in = machine.buffer(backwards);
    REQUIRE(machine.run(machine.read(2 * stamp + 1, sector, in)) == Status::okay);
    CHECK(in.get() == out.get());
}

}  // namespace

TEST_CASE("guest data: every number and cut of segments arrives in its place, in every layout", "[unit][tapdisk]") {
    const auto protocol = GENERATE(ring::Protocol::native, ring::Protocol::x86_32, ring::Protocol::x86_64);
    const bool persistent = GENERATE(false, true);
    VbdHarness machine{with(protocol, persistent)};
    for (std::size_t count = 1; count <= ring::segments_direct_max; ++count) {
        write_and_read(machine, 100 * count, std::vector<Shape>(count));
        write_and_read(machine, 100 * count + 3, odd_shapes(count));
    }
    for (const std::size_t count : {std::size_t{12}, std::size_t{33}, ring::segments_indirect_max}) {
        write_and_read(machine, 5000, std::vector<Shape>(count));
        write_and_read(machine, 5001, odd_shapes(count));
    }
}

TEST_CASE("guest data: an indirect request may have a single segment", "[unit][tapdisk]") {
    VbdHarness machine{with(ring::Protocol::native, GENERATE(false, true))};
    GuestBuffer data = machine.buffer({{2, 5}});
    data.fill(7, 1);
    REQUIRE(machine.run(machine.indirect(Operation::write, 1, 7, data)) == Status::okay);
    CHECK(machine.image_bytes(data.at(7)) == data.get());
}

TEST_CASE("guest data: a read leaves what is outside of its segments alone", "[unit][tapdisk]") {
    VbdHarness machine{with(ring::Protocol::native, GENERATE(false, true))};
    const GuestBuffer data = machine.buffer({{3, 4}});
    std::ranges::fill(data.memory, std::byte{0xee});
    REQUIRE(machine.run(machine.read(1, 0, data)) == Status::okay);
    CHECK(std::ranges::all_of(data.memory.first(3 * 512), [](std::byte b) { return b == std::byte{0xee}; }));
    CHECK(std::ranges::all_of(data.memory.subspan(5 * 512), [](std::byte b) { return b == std::byte{0xee}; }));
    CHECK(data.get() == std::vector<std::byte>(1024));
}

TEST_CASE("guest data: the last sector of the disk is served and the one after it is not", "[unit][tapdisk]") {
    VbdHarness machine;
    const GuestBuffer sector = machine.buffer({{0, 0}});
    CHECK(machine.run(machine.read(1, 16 * 1024 - 1, sector)) == Status::okay);
    CHECK(machine.run(machine.read(2, 16 * 1024, sector)) == Status::error);
}

TEST_CASE("guest data: one page may be named by many segments", "[unit][tapdisk]") {
    VbdHarness machine{with(ring::Protocol::native, GENERATE(false, true))};
    GuestBuffer page = machine.pages(1);
    page.fill(0, 1);
    const std::vector<std::byte> bytes = page.get();
    page.segments.resize(8, page.segments[0]);
    REQUIRE(machine.run(machine.write(1, 64, page)) == Status::okay);
    for (std::uint64_t i = 0; i < 8; ++i)
        CHECK(machine.image_bytes({64 + 8 * i, 8}) == bytes);
}

TEST_CASE("guest data: with persistent grants nothing is copied, and after the first use nothing is mapped",
          "[unit][tapdisk][XSA-229]") {
    VbdHarness machine{with(ring::Protocol::native, true)};
    GuestBuffer data = machine.buffer(odd_shapes(40));
    auto request = machine.write(1, 0, data);  // one descriptor page, used again
    REQUIRE(machine.run(request) == Status::okay);
    CHECK(machine.counter("/persistent-grants") == 41);
    fakexen::fail_nth(fakexen::Call::map, 1);
    for (std::uint64_t id = 2; id < 10; ++id) {
        request.id = id;
        request.indirect_operation = static_cast<std::uint8_t>(id % 2 == 0 ? Operation::read : Operation::write);
        REQUIRE(machine.run(request) == Status::okay);
    }
    CHECK(fakexen::failure_is_due(fakexen::Call::map));
    CHECK(machine.counter("/persistent-grants") == 41);
    CHECK(machine.counter("/grant-copies/pieces") == 0);
}

TEST_CASE("guest data: a page that cannot be mapped is copied instead", "[unit][tapdisk]") {
    VbdHarness machine{with(ring::Protocol::native, true)};
    GuestBuffer data = machine.pages(3);
    data.fill(8, 1);
    fakexen::fail_nth(fakexen::Call::map, GENERATE(1u, 2u, 3u), ENOMEM);
    REQUIRE(machine.run(machine.write(1, 8, data)) == Status::okay);
    CHECK_FALSE(fakexen::failure_is_due(fakexen::Call::map));
    CHECK(machine.image_bytes(data.at(8)) == data.get());
    CHECK(machine.counter("/grant-copies/pieces") == 3);
}

TEST_CASE("guest data: a page that is granted read-only can be written from, persistent or not", "[unit][tapdisk]") {
    VbdHarness machine{with(ring::Protocol::native, GENERATE(false, true))};
    GuestBuffer data = machine.buffer({{}, {}}, xen::PageAccess::read_only);
    data.fill(8, 1);
    REQUIRE(machine.run(machine.write(1, 8, data)) == Status::okay);
    CHECK(machine.image_bytes(data.at(8)) == data.get());
}

TEST_CASE("guest data: more pages than may stay mapped are all served, and the limit holds", "[unit][tapdisk]") {
    VbdHarness machine{with(ring::Protocol::native, true)};
    constexpr std::size_t limit = 32 * PersistentGrants::pages_per_slot;
    std::uint64_t id = 0;
    for (int round = 0; round < 6; ++round) {
        GuestBuffer data = machine.pages(ring::segments_indirect_max);
        data.fill(0, ++id);
        REQUIRE(machine.run(machine.write(id, 0, data)) == Status::okay);
        REQUIRE(machine.image_bytes(data.at(0)) == data.get());
        CHECK(machine.counter("/persistent-grants") <= limit);
    }
    CHECK(machine.counter("/persistent-grants") == limit);
    CHECK(machine.world().pages_mapped_by(0) == limit + 1);  // and the ring
}

TEST_CASE("guest data: when all pages that may stay mapped are in use, the next are copied", "[unit][tapdisk]") {
    VbdHarness machine{with(ring::Protocol::native, true)};
    machine.kernel().hold();
    std::vector<GuestBuffer> buffers;
    for (std::uint64_t id = 1; id <= 6; ++id) {
        buffers.push_back(machine.pages(ring::segments_indirect_max));
        buffers.back().fill(2048 * id, id);
        machine.send(machine.write(id, 2048 * id, buffers.back()));
    }
    machine.settle();
    CHECK(machine.counter("/grant-copies/pieces") > 0);
    machine.kernel().complete_all_shuffled();
    machine.settle();
    for (std::uint64_t id = 1; id <= 6; ++id) {
        REQUIRE(machine.answer(id) == Status::okay);
        CHECK(machine.image_bytes(buffers[id - 1].at(2048 * id)) == buffers[id - 1].get());
    }
}

TEST_CASE("guest data: O_DIRECT on a real file through the real kernel carries every byte", "[unit][tapdisk]") {
    LinuxAioKernel kernel;
    const TemporaryDirectory directory{std::filesystem::current_path()};
    const std::string path = directory.make_file("image", 8 << 20);
    VbdHarness::Options options = with(ring::Protocol::native, GENERATE(false, true));
    options.kernel = &kernel;
    options.image = "raw:" + path;
    VbdHarness machine{options};
    for (std::uint64_t id = 1; id < 20; ++id) {
        const auto shapes = id % 2 == 0 ? std::vector<Shape>(id) : odd_shapes(id);
        GuestBuffer out = machine.buffer(shapes);
        GuestBuffer in = machine.buffer(shapes);
        out.fill(id * 37, id);
        REQUIRE(machine.run(machine.write(2 * id, id * 37, out)) == Status::okay);
        REQUIRE(machine.run(machine.read(2 * id + 1, id * 37, in)) == Status::okay);
        CHECK(in.get() == out.get());
    }
}
