// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Each of the writes that a request takes fails in turn, or finds no space: the image stays valid, every answered write
// is in it, and a request without space can be tried again.
#include "drivers/tables/committer.hpp"
#include "tests/support/images/image_trials.hpp"
#include "tests/support/sim_aio_kernel.hpp"
#include "tests/unit/qcow2/qcow2_fixture.hpp"

using namespace blktap;
using namespace blktap::testing;
using Kind = ImageRequest::Kind;

namespace {

constexpr std::uint64_t disk_sectors = 8192;

/// First writes, copies, discards and flushes; each is repeated while it finds no space.
void run(DriverHarness& harness, ImageDriver& driver, ModelDisk& model, bool must_succeed) {
    std::uint64_t stamp = 1;
    const SectorRange ranges[] = {{3, 8}, {120, 700}, {4000, 1}, {4001, 8}, {0, 300}, {8100, 92}, {5, 1}};
    for (const SectorRange range : ranges) {
        ++stamp;
        std::error_code error = write_with_retries(harness, driver, model, range, stamp);
        if (must_succeed) REQUIRE_FALSE(error);
        // What failed may have happened in part: make it one again.
        if (error && !write_stamp(harness, driver, model, range, stamp)) error = {};
        if (error) return;
        const SectorRange gone{range.first, 300 < disk_sectors - range.first ? 300 : disk_sectors - range.first};
        if (stamp % 3 == 0) {
            std::error_code discarded = harness.discard(driver, gone);
            if (discarded == std::errc::no_space_on_device) discarded = harness.discard(driver, gone);
            if (must_succeed) REQUIRE_FALSE(discarded);
            if (discarded) return;
            const std::uint64_t cluster = driver.info().discard_granularity_bytes / 512;
            const std::uint64_t first = round_up(gone.first, cluster);
            const std::uint64_t end = round_down(gone.end(), cluster);
            if (first < end) model.zero({first, end - first});
        }
        if (harness.flush(driver) && !must_succeed) return;
    }
}

/// The n-th operation of all fails, for each n.
void try_every_fault(int error, bool must_succeed, const std::string& options) {
    const TemporaryDirectory directory;
    const std::string fresh = make_qcow2(directory.path("fresh"), "4M", options);
    for (std::uint64_t n = 1;; ++n) {
        CAPTURE(n);
        const std::string path = directory.path("disk");
        REQUIRE(std::system(("cp " + fresh + " " + path).c_str()) == 0);
        SimAioKernel kernel;
        kernel.complete_at_submit();
        kernel.result_error(n, error);
        ModelDisk model{disk_sectors};
        bool alive = true;
        {
            DriverHarness harness{kernel};
            const auto driver = harness.open("qcow2:" + path);
            run(harness, *driver, model, must_succeed);
            alive = !harness.flush(*driver);
        }
        const int status = check_qcow2(path);
        if (must_succeed) REQUIRE(status == 0);
        REQUIRE((status == 0 || status == 3));
        if (alive && must_succeed) {
            DriverHarness harness;
            const auto driver = harness.open("qcow2:" + path);
            CHECK_FALSE(find_difference(harness, *driver, model));
        }
        if (kernel.faults() == 0) break;
    }
}

}  // namespace

TEST_CASE("qcow2 commit: whichever operation finds no space, all is done again and nothing leaks", "[unit][qcow2]") {
    try_every_fault(ENOSPC, true, GENERATE("cluster_size=65536", "cluster_size=4096"));
}

TEST_CASE("qcow2 commit: whichever operation fails, the image stays one", "[unit][qcow2]") {
    try_every_fault(EIO, false, "cluster_size=16384");
}

TEST_CASE("qcow2 commit: an image whose tables could not be made durable does no more", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string path = make_qcow2(directory.path("disk"), "4M");
    SimAioKernel kernel;
    kernel.complete_at_submit();
    DriverHarness harness{kernel};
    const auto driver = harness.open("qcow2:" + path);
    ModelDisk model{disk_sectors};
    REQUIRE_FALSE(write_stamp(harness, *driver, model, {0, 8}, 1));
    // The data of a first write is the next operation, its refcounts and the fdatasync follow.
    const std::uint64_t done = harness.io().stats().submitted;
    kernel.result_error(done + 3, EIO);
    CHECK(write_stamp(harness, *driver, model, {4096, 8}, 2) == std::errc::io_error);
    REQUIRE(kernel.faults() == 1);
    CHECK(harness.flush(*driver) == std::errc::io_error);
    CHECK(write_stamp(harness, *driver, model, {4096, 8}, 3) == std::errc::io_error);
    CHECK_FALSE(find_difference(harness, *driver, model));
}
