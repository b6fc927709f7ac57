// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Pausing closes the image and resuming opens one, the same or another; the guest only sees a delay.

#include "libblktap/files/local_image_opener.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/tapdisk/disk_states.hpp"

using namespace blktap;
using namespace blktap::testing;
using ring::Operation;
using ring::Status;

TEST_CASE("vbd: pause finishes what the kernel has, takes nothing more and closes the image", "[unit][tapdisk]") {
    VbdHarness machine;
    machine.kernel().hold();
    GuestBuffer data = machine.pages(1);
    data.fill(8, 1);
    machine.send(machine.write(1, 8, data));
    machine.settle();
    bool done = false;
    machine.vbd().pause([&done](std::error_code) { done = true; });
    machine.send(machine.read(2, 8, machine.pages(1)));
    machine.settle();
    CHECK_FALSE(done);
    CHECK(is_open(machine.image_path()));
    machine.kernel().complete_at_submit();
    machine.kernel().complete_all();
    machine.settle();
    CHECK(done);
    CHECK(machine.answer(1) == Status::okay);
    CHECK_FALSE(machine.answered(2));
    CHECK(machine.logged_ids().empty());  // 2 is still in the ring
    CHECK_FALSE(is_open(machine.image_path()));
    CHECK(machine.vbd().stats().at("state") == "paused");

    machine.resume();
    machine.settle();
    CHECK(machine.answer(2) == Status::okay);
}

TEST_CASE("vbd: what was taken and not started when pause came runs after resume", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    GuestBuffer data = machine.pages(1);
    data.fill(0, 1);
    machine.put(VbdHarness::discard(1, {0, 8}));
    machine.put(machine.write(2, 0, data));     // waits for 1
    machine.put(machine.barrier(3, 64, data));  // waits for both
    machine.put(machine.write(4, 800, data));   // waits for 3
    machine.publish();
    machine.settle();
    REQUIRE(disk.waiting() == "D");
    bool done = false;
    machine.vbd().pause([&done](std::error_code) { done = true; });
    disk.complete(0);
    machine.settle();
    REQUIRE(disk.waiting() == "F");  // of the image
    disk.complete(0);
    machine.settle();
    CHECK(done);
    CHECK(disk.images_open == 0);
    CHECK(machine.logged_ids() == std::vector<std::uint64_t>{2, 3, 4});

    disk.automatic = true;
    SECTION("resume") {
        machine.resume();
        machine.settle();
        for (std::uint64_t id = 2; id <= 4; ++id)
            CHECK(machine.answer(id) == Status::okay);
        CHECK(disk.bytes({0, 8}) == data.get());
    }
    SECTION("disconnecting instead answers it with an error") {
        REQUIRE_FALSE(machine.disconnect());
        machine.round();
        for (std::uint64_t id = 2; id <= 4; ++id)
            CHECK(machine.answer(id) == Status::error);
    }
    SECTION("closing instead does the same") {
        REQUIRE_FALSE(machine.close());
        machine.round();
        for (std::uint64_t id = 2; id <= 4; ++id)
            CHECK(machine.answer(id) == Status::error);
    }
    SECTION("shutting down instead leaves it in the recovery log") {
        REQUIRE_FALSE(machine.shut_down());
        machine.round();
        CHECK(machine.unanswered() == 3);
        CHECK(machine.logged_ids() == std::vector<std::uint64_t>{2, 3, 4});
    }
}

TEST_CASE("vbd: a paused frontend sees its requests answered by the image that resume opens", "[unit][tapdisk]") {
    VbdHarness machine;
    GuestBuffer data = machine.pages(1);
    data.fill(0, 7);
    REQUIRE_FALSE(machine.pause());
    const std::uint64_t size_bytes = GENERATE(8u << 20, 16u << 20);
    const std::string other = machine.directory().make_file("other", size_bytes);
    machine.send(machine.write(1, 0, data));
    machine.resume(buffered(other), std::make_unique<LocalImageOpener>());
    machine.settle();
    CHECK(machine.answer(1) == Status::okay);
    CHECK(is_open(other));
    CHECK_FALSE(is_open(machine.image_path()));
    CHECK(machine.image_bytes({0, 8}) == std::vector<std::byte>(4096));
    // The guest was told a size and keeps it.
    CHECK(machine.vbd().describe().size_sectors == 16 * 1024);
    CHECK(machine.run(machine.read(2, 16 * 1024, data)) == Status::error);
}

TEST_CASE("vbd: resume refuses an image that does not fit, and the disk stays paused", "[unit][tapdisk]") {
    VbdHarness machine;
    REQUIRE_FALSE(machine.pause());
    const auto resume_on = [&](const ImageSpec& image) {
        return thrown([&] { machine.resume(image, std::make_unique<LocalImageOpener>()); });
    };
    const std::string small = machine.directory().make_file("small", (8 << 20) - 512);
    const std::string same = machine.directory().make_file("same", 8 << 20);
    CHECK_THAT(resume_on(buffered(small)).what(), Catch::Contains(small) && Catch::Contains("16383"));
    CHECK_THAT(resume_on(buffered(same, Access::read_only)).what(), Catch::Contains(same));
    CHECK(resume_on(buffered(machine.directory().path("missing"))).code() == std::errc::no_such_file_or_directory);
    CHECK(machine.vbd().state() == Vbd::State::paused);
    CHECK_FALSE(is_open(small));
    CHECK_FALSE(is_open(same));
    machine.resume();
    CHECK(machine.run(machine.read(1, 0, machine.pages(1))) == Status::okay);
}

TEST_CASE("vbd: on an image with larger blocks, what was postponed keeps the new blocks apart", "[unit][tapdisk]") {
    StubDisk disk;
    VbdHarness machine{disk.options()};
    const GuestBuffer sector = machine.buffer({{0, 0}});
    machine.put(VbdHarness::discard(1, {0, 64}));
    machine.put(machine.write(2, 8, sector));
    machine.put(machine.write(3, 9, sector));
    machine.publish();
    machine.settle();
    bool done = false;
    machine.vbd().pause([&done](std::error_code) { done = true; });
    disk.complete(0);
    machine.settle();
    disk.complete(0);
    machine.settle();
    REQUIRE(done);
    disk.info.write_alignment_bytes = 4096;
    machine.resume();
    machine.settle();
    CHECK(disk.waiting() == "W");
    disk.automatic = true;
    disk.complete_all();
    machine.settle();
    CHECK(machine.unanswered() == 0);
}

TEST_CASE("vbd: pausing and resuming under load loses and repeats nothing", "[unit][tapdisk]") {
    VbdHarness machine;
    std::vector<GuestBuffer> buffers;
    for (std::uint64_t id = 0; id < 32; ++id) {
        buffers.push_back(machine.pages(1 + id % 3));
        buffers.back().fill(id * 32, id + 1);
    }
    machine.kernel().hold();
    std::uint64_t sent = 0;
    for (int round = 0; round < 8; ++round) {
        for (int i = 0; i < 4; ++i, ++sent)
            machine.send(machine.write(sent, sent * 32, buffers[sent]));
        machine.round();
        machine.kernel().complete_any();
        bool done = false;
        machine.vbd().pause([&done](std::error_code) { done = true; });
        machine.settle();
        while (!done) {
            machine.kernel().complete_any();
            machine.settle();
        }
        machine.resume();
        machine.round();
    }
    machine.kernel().complete_at_submit();
    machine.kernel().complete_all();
    machine.settle();
    for (std::uint64_t id = 0; id < 32; ++id) {
        REQUIRE(machine.answer(id) == Status::okay);
        CHECK(machine.image_bytes(buffers[id].at(id * 32)) == buffers[id].get());
    }
}
