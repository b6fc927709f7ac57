// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/registry.hpp"

#include "tests/support/images/driver_harness.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/thrown.hpp"

using namespace blktap;
using namespace blktap::testing;

TEST_CASE("registry: opens an image with the driver that is named", "[unit][drivers]") {
    DriverHarness harness;
    const TemporaryDirectory directory;
    CHECK(harness.open("raw:" + directory.make_file("disk", 1 << 20))->info().size_sectors == 2048);
    CHECK(harness.open("null:?size=2M")->info().size_sectors == 4096);
}

TEST_CASE("registry: an unknown format is refused with the known ones", "[unit][drivers]") {
    DriverHarness harness;
    const auto error = thrown([&] { harness.open("vmdk:/srv/disk.vmdk"); });
    CHECK(error.code() == std::errc::invalid_argument);
    CHECK_THAT(error.what(), Catch::Contains("vmdk:/srv/disk.vmdk") && Catch::Contains("null, qcow2, raw"));
}
