// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Trials of a disk that the tests of every growing format share.
#pragma once

#include <memory>
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/support/images/driver_harness.hpp"
#include "tests/support/images/image_files.hpp"
#include "tests/support/model_disk.hpp"

namespace blktap::testing {

/// Grows the disk to `sectors`.
inline std::error_code resize(DriverHarness& harness, ImageDriver& driver, std::uint64_t sectors) {
    TestRequest request{ImageRequest::Kind::read, {}};
    request.resize_on(driver, sectors);
    harness.finish(request);
    return request.error;
}

/// Writes; a write that finds no space is retried, three tries in total.
inline std::error_code write_with_retries(DriverHarness& harness, ImageDriver& driver, ModelDisk& model,
                                          SectorRange range, std::uint64_t stamp) {
    std::error_code error;
    for (int attempt = 0; attempt < 3; ++attempt) {
        error = write_stamp(harness, driver, model, range, stamp);
        if (error != std::errc::no_space_on_device) break;
    }
    return error;
}

/// Writes from the disk's beginning until the file system is full. Returns the first sector that found no space;
/// sectors before it were written.
inline std::uint64_t write_until_full(DriverHarness& harness, ImageDriver& driver, ModelDisk& model,
                                      std::uint64_t sectors_max) {
    CHECK(driver.space());
    std::uint64_t sector = 0;
    std::error_code error;
    while (!error) {
        error = write_stamp(harness, driver, model, {sector, 1000}, sector + 1);
        if (!error) sector += 1000;
        REQUIRE(sector < sectors_max);
    }
    CHECK(error == std::errc::no_space_on_device);
    CHECK(sector > 15000);
    // The failed write may have written a part.
    CHECK_FALSE(write_stamp(harness, driver, model, {500, 100}, 7));
    return sector;
}

struct Growing {
    std::uint64_t sectors = 0;         ///< the new size of the disk
    std::uint64_t distance = 300;      ///< from one write to the next, in sectors
    std::uint64_t writes_a_step = 10;  ///< writes started before each turn of the loop
};
/// Checks that a hundred writes succeed while the disk is made larger in the middle of them.
inline void grow_during_writes(DriverHarness& harness, ImageDriver& driver, ModelDisk& model, const Growing& how) {
    std::vector<Mapping> memory;
    std::vector<std::unique_ptr<TestRequest>> writes;
    TestRequest growing{ImageRequest::Kind::read, {}};
    for (std::uint64_t i = 0; i < 100; ++i) {
        const SectorRange range{i * how.distance, 16};
        memory.push_back(Mapping::anonymous(range.length_bytes()));
        ModelDisk::fill(range, i + 1, memory.back().bytes());
        model.write(range, i + 1);
        writes.push_back(std::make_unique<TestRequest>(ImageRequest::Kind::write, range, memory.back().bytes()));
        writes.back()->start_on(driver);
        if (i == 50) growing.resize_on(driver, how.sectors);
        if (i % how.writes_a_step == 0) harness.step();
    }
    for (const auto& write : writes) {
        harness.finish(*write);
        CHECK_FALSE(write->error);
    }
    harness.finish(growing);
    REQUIRE_FALSE(growing.error);
    CHECK_FALSE(find_difference(harness, driver, model));
}

}  // namespace blktap::testing
