// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A file of the image becomes shorter: data behind its new end is lost, and must not read as zeros.
#include <filesystem>
#include <unistd.h>

#include "drivers/qcow2/create.hpp"
#include "drivers/vhd/create.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/machine/vbd_harness.hpp"

using namespace blktap;
using namespace blktap::testing;
using namespace std::chrono_literals;
using ring::Operation;
using ring::Status;

namespace {

constexpr std::uint64_t lost_sector = 6 * 2048;
constexpr std::uint64_t later_sector = 7 * 2048;

std::vector<std::string> problems(VbdHarness& machine) {
    std::vector<std::string> names;
    for (const ipc::Problem& problem : machine.vbd().problems().problems)
        names.push_back(problem.name);
    return names;
}

/// A raw disk of 8 MiB with data at `lost_sector`, whose file was then cut to 1 MiB.
struct CutDisk {
    explicit CutDisk(const std::string& options = "") : machine(with(options)) {
        data.fill(lost_sector, 1);
        REQUIRE(machine.run(machine.write(1, lost_sector, data)) == Status::okay);
        REQUIRE(::truncate(machine.image_path().c_str(), 1 << 20) == 0);
        machine.forget_answers();
    }
    static VbdHarness::Options with(const std::string& image_options) {
        VbdHarness::Options options;
        options.image_options = image_options;
        return options;
    }
    std::uint64_t file_bytes() const { return std::filesystem::file_size(machine.image_path()); }

    VbdHarness machine;
    GuestBuffer data = machine.pages(2);
};

}  // namespace

TEST_CASE("cut file: once a read has met its end nothing is served, and it never becomes longer again",
          "[unit][tapdisk]") {
    CutDisk t;
    CHECK(t.machine.run(t.machine.read(1, lost_sector, t.data)) == Status::error);
    CHECK(problems(t.machine) == std::vector<std::string>{"file-cut"});
    CHECK(t.machine.run(t.machine.write(2, later_sector, t.data)) == Status::error);
    CHECK(t.machine.run(t.machine.read(3, lost_sector, t.data)) == Status::error);
    CHECK(t.machine.run(t.machine.read(4, 0, t.data)) == Status::error);
    CHECK(t.machine.run(t.machine.barrier(5, 0, t.data)) == Status::error);
    CHECK(t.machine.run(VbdHarness::discard(6, {0, 8})) == Status::error);
    CHECK(t.file_bytes() == 1 << 20);
}

TEST_CASE("cut file: a flush waits until the image is opened again, and then everything goes on", "[unit][tapdisk]") {
    CutDisk t;
    REQUIRE(t.machine.run(t.machine.read(1, lost_sector, t.data)) == Status::error);
    t.machine.send(VbdHarness::flush(2));
    t.machine.settle();
    CHECK_FALSE(t.machine.answered(2));
    REQUIRE_FALSE(t.machine.pause());
    // The operator brought it back, from a backup say.
    REQUIRE(::truncate(t.machine.image_path().c_str(), 8 << 20) == 0);
    t.machine.resume();
    t.machine.run_until([&] { return t.machine.answered(2); });
    CHECK(t.machine.answer(2) == Status::okay);
    t.machine.clock().advance(60s);
    t.machine.run_until([&] { return problems(t.machine).empty(); });
    CHECK(t.machine.run(t.machine.read(3, lost_sector, t.data)) == Status::okay);
    CHECK(t.machine.run(t.machine.write(4, later_sector, t.data)) == Status::okay);
}

TEST_CASE("cut file: is noticed beside the traffic too, before any read meets its end", "[unit][tapdisk]") {
    CutDisk t;
    CHECK(t.machine.run(t.machine.write(1, 0, t.data)) == Status::okay);
    t.machine.clock().advance(10s);
    t.machine.run_until([&] { return !problems(t.machine).empty(); });
    CHECK(problems(t.machine) == std::vector<std::string>{"file-cut"});
    CHECK(t.machine.run(t.machine.write(2, later_sector, t.data)) == Status::error);
    CHECK(t.file_bytes() == 1 << 20);
}

TEST_CASE("cut file: a guest that comes back meets the same disk", "[unit][tapdisk]") {
    CutDisk t;
    REQUIRE(t.machine.run(t.machine.read(1, lost_sector, t.data)) == Status::error);
    REQUIRE_FALSE(t.machine.disconnect());
    t.machine.make_frontend(t.machine.options().frontend);
    t.machine.connect();
    t.machine.forget_answers();
    CHECK(t.machine.run(t.machine.write(1, later_sector, t.data)) == Status::error);
    CHECK(t.file_bytes() == 1 << 20);
}

TEST_CASE("cut file: with on-error=hold requests wait for it to be opened again", "[unit][tapdisk]") {
    CutDisk t{"&on-error=hold"};
    t.machine.send(t.machine.read(1, lost_sector, t.data));
    t.machine.settle();
    t.machine.send(t.machine.write(2, later_sector, t.machine.pages(1)));
    t.machine.settle();
    CHECK(t.machine.unanswered() == 2);
    REQUIRE_FALSE(t.machine.pause());
    REQUIRE(::truncate(t.machine.image_path().c_str(), 8 << 20) == 0);
    t.machine.resume();
    t.machine.run_until([&] { return t.machine.unanswered() == 0; });
    CHECK(t.machine.answer(1) == Status::okay);
}

TEST_CASE("cut file: it is not made longer for a write behind its end, nor at the end of the disk", "[unit][tapdisk]") {
    VbdHarness::Options options;
    options.size_sectors = 256 * 2048;
    options.file_sectors = 4 * 2048;
    VbdHarness machine{options};
    const GuestBuffer data = machine.pages(2);
    REQUIRE(machine.run(machine.write(1, 5 * 2048, data)) == Status::okay);
    REQUIRE(::truncate(machine.image_path().c_str(), 1 << 20) == 0);
    CHECK(machine.run(machine.write(2, options.size_sectors - 16, data)) == Status::error);
    CHECK(std::filesystem::file_size(machine.image_path()) == 1 << 20);
    REQUIRE_FALSE(machine.pause());
    CHECK(std::filesystem::file_size(machine.image_path()) == 1 << 20);
}

TEST_CASE("cut file: every file of an image counts, whatever its format", "[unit][tapdisk]") {
    constexpr std::uint64_t disk_bytes = 8 << 20;
    constexpr std::uint64_t kept_bytes = 1 << 20;
    const TemporaryDirectory directory;
    const std::string image = directory.path("image");
    const std::string other = directory.path("other");
    std::string cut = image;
    std::string spec = "qcow2:" + image + "?buffered=yes";
    SECTION("a qcow2 image") {
        qcow2::create_image({.path = image, .size_bytes = disk_bytes});
    }
    SECTION("its backing file") {
        directory.make_file("other", disk_bytes);
        qcow2::create_image({.path = image, .size_bytes = disk_bytes, .backing_file = other, .backing_format = "raw"});
        cut = other;
    }
    SECTION("its data file") {
        qcow2::create_image({.path = image, .size_bytes = disk_bytes, .data_file = other});
        spec += "&data-file=" + other;
        cut = other;
    }
    SECTION("a VHD") {
        vhd::create_image({.path = image, .size_bytes = disk_bytes});
        spec = "vhd:" + image + "?buffered=yes";
    }
    SECTION("its parent") {
        directory.make_file("other", disk_bytes);
        vhd::create_image({.path = image, .size_bytes = disk_bytes, .parent = other, .parent_is_raw = true});
        spec = "vhd:" + image + "?buffered=yes";
        cut = other;
    }
    VbdHarness::Options options;
    options.image = spec;
    VbdHarness machine{options};
    // So that data exists behind the cut; over a backing file it does already.
    const GuestBuffer data = machine.pages(11);
    const std::uint64_t step = data.sector_count();
    std::uint64_t id = 0;
    for (std::uint64_t sector = 0; cut == image || spec.find("data-file") != std::string::npos; sector += step) {
        if (sector + step > disk_bytes / 512) break;
        REQUIRE(machine.run(machine.write(++id, sector, data)) == Status::okay);
    }
    REQUIRE(std::filesystem::file_size(cut) > kept_bytes);
    REQUIRE(::truncate(cut.c_str(), kept_bytes) == 0);
    CHECK(machine.run(machine.read(++id, disk_bytes / 512 - 2 * step, data)) == Status::error);
    CHECK(problems(machine) == std::vector<std::string>{"file-cut"});
    for (const std::uint64_t sector : {std::uint64_t{0}, std::uint64_t{5 * 2048}, disk_bytes / 512 - step})
        CHECK(machine.run(machine.write(++id, sector, data)) == Status::error);
    REQUIRE_FALSE(machine.pause());
    CHECK(std::filesystem::file_size(cut) == kept_bytes);
}
