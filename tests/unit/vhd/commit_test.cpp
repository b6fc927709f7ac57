// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Each of the writes of a request fails, or finds no space, in turn: the image stays valid, answered writes are there,
// and requests that found no space can be repeated.
#include "drivers/tables/committer.hpp"
#include "tests/support/images/image_trials.hpp"
#include "tests/support/sim_aio_kernel.hpp"
#include "tests/unit/vhd/vhd_fixture.hpp"

using namespace blktap;
using namespace blktap::testing;

namespace {

constexpr std::uint64_t disk_sectors = 16384;

/// First writes and flushes; each is repeated while it finds no space. False: the image does no more.
bool run(DriverHarness& harness, ImageDriver& driver, ModelDisk& model, bool must_succeed) {
    std::uint64_t stamp = 1;
    const SectorRange ranges[] = {{3, 8}, {4090, 700}, {4000, 1}, {4001, 8}, {9000, 6000}, {16000, 92}, {5, 1}};
    for (const SectorRange range : ranges) {
        ++stamp;
        const std::error_code error = write_with_retries(harness, driver, model, range, stamp);
        if (must_succeed) REQUIRE_FALSE(error);
        // What failed may have happened in part: make it one again.
        if (error && write_stamp(harness, driver, model, range, stamp)) return false;
        if (harness.flush(driver) && !must_succeed) return false;
    }
    return true;
}

/// The n-th operation of all fails, for each n.
void try_every_fault(int error, bool must_succeed, bool differencing) {
    const TemporaryDirectory directory;
    ModelDisk model{disk_sectors};
    make({.path = directory.path("base"), .size_bytes = disk_sectors * 512});
    {
        DriverHarness harness;
        const auto driver = harness.open("vhd:" + directory.path("base"));
        if (differencing) REQUIRE_FALSE(write_stamp(harness, *driver, model, {0, disk_sectors}, 1000));
    }
    const std::string parent = differencing ? "base" : "";
    for (std::uint64_t n = 1;; ++n) {
        CAPTURE(n);
        const std::string path = directory.path("disk" + std::to_string(n));
        make({.path = path, .size_bytes = disk_sectors * 512, .parent = parent});
        SimAioKernel kernel;
        kernel.complete_at_submit();
        kernel.result_error(n, error);
        ModelDisk written = model;
        bool alive = true;
        {
            DriverHarness harness{kernel};
            const auto driver = harness.open("vhd:" + path);
            alive = run(harness, *driver, written, must_succeed);
        }
        const vhd::Findings findings = check_vhd(path);
        REQUIRE(findings.errors == 0);
        if (must_succeed) REQUIRE(findings.unused_bytes == 0);
        if (alive) {
            DriverHarness harness;
            CHECK_FALSE(find_difference(harness, *harness.open("vhd:" + path), written));
        }
        if (kernel.faults() == 0) break;
    }
}

}  // namespace

TEST_CASE("vhd commit: whichever operation finds no space, all is done again and nothing leaks", "[unit][vhd]") {
    try_every_fault(ENOSPC, true, GENERATE(true, false));
}

TEST_CASE("vhd commit: whichever operation fails, the image stays one", "[unit][vhd]") {
    try_every_fault(EIO, false, GENERATE(true, false));
}

TEST_CASE("vhd commit: an image whose table could not be made durable does no more", "[unit][vhd]") {
    const TemporaryDirectory directory;
    const std::string path = make({.path = directory.path("disk"), .size_bytes = disk_sectors * 512});
    SimAioKernel kernel;
    kernel.complete_at_submit();
    DriverHarness harness{kernel};
    const auto driver = harness.open("vhd:" + path);
    ModelDisk model{disk_sectors};
    REQUIRE_FALSE(write_stamp(harness, *driver, model, {0, 8}, 1));
    // The data of a first write is the next operation, its bitmap and the fdatasync follow.
    kernel.result_error(harness.io().stats().submitted + 3, EIO);
    CHECK(write_stamp(harness, *driver, model, {4096, 8}, 2) == std::errc::io_error);
    REQUIRE(kernel.faults() == 1);
    CHECK(harness.flush(*driver) == std::errc::io_error);
    CHECK(write_stamp(harness, *driver, model, {4096, 8}, 3) == std::errc::io_error);
    CHECK_FALSE(find_difference(harness, *driver, model));
}

TEST_CASE("vhd commit: an image is not cut where its table may lead", "[unit][vhd]") {
    const TemporaryDirectory directory;
    const SectorRange range{4096, 8};
    const std::uint64_t entry_offset = table_offset + 4;  // of the second block of 2 MiB
    const auto write_first = [&](const std::string& name, SimAioKernel& kernel, const auto& before_close) {
        const std::string path = make({.path = directory.path(name), .size_bytes = disk_sectors * 512});
        kernel.complete_at_submit();
        DriverHarness harness{kernel};
        const auto driver = harness.open("vhd:" + path);
        ModelDisk model{disk_sectors};
        before_close(path, write_stamp(harness, *driver, model, range, 2));
        return path;
    };
    SimAioKernel good_kernel;
    const std::string good =
        write_first("good", good_kernel, [](const std::string&, std::error_code error) { REQUIRE_FALSE(error); });
    const auto entry = FileBytes{good}.get<std::uint32_t>(entry_offset);

    // The data, the bitmap and an fdatasync go before the table, which is written, and yet the answer is an error.
    SimAioKernel kernel;
    kernel.result_error(4, ENOSPC);
    const std::string path = write_first("stuck", kernel, [&](const std::string& stuck, std::error_code error) {
        REQUIRE(error == std::errc::no_space_on_device);
        const FileBytes file{stuck};
        REQUIRE(file.get<std::uint32_t>(entry_offset) == 0xffffffff);
        file.put(entry_offset, entry);
    });
    const vhd::Findings findings = check_vhd(path);
    CHECK(findings.errors == 0);
    CHECK(findings.blocks_used == 1);
    ModelDisk model{disk_sectors};
    model.write(range, 2);
    DriverHarness harness;
    CHECK_FALSE(find_difference(harness, *harness.open("vhd:" + path), model));
}
