// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/named_tap.hpp"

#include "tests/unit/tapback/vbd/disk_host.hpp"

using namespace blktap;
using namespace blktap::tapback;

TEST_CASE("named tap: a disk's directory names its tapdisk by two numbers, and who may write by its mode",
          "[unit][tapback]") {
    const DiskHost t;
    CHECK(read_named_tap(t.directory) == std::nullopt);
    t.write_backend("pid", "4711");
    CHECK(read_named_tap(t.directory) == std::nullopt);  // the script writes the other number last
    t.write_backend("minor", "3");
    CHECK(read_named_tap(t.directory) == NamedTap{{4711, 3}, false});
    t.write_backend("mode", "r");
    CHECK(read_named_tap(t.directory) == NamedTap{{4711, 3}, true});
}

TEST_CASE("named tap: what is no number names no tapdisk", "[unit][tapback]") {
    const DiskHost t;
    t.write_backend("pid", "4711");
    for (const char* no_number : {"", "-1", "0x3", "3 ", "99999999999"}) {
        INFO('"' << no_number << '"');
        t.write_backend("minor", no_number);
        CHECK(read_named_tap(t.directory) == std::nullopt);
    }
    t.write_backend("minor", "3");
    t.write_backend("pid", "none");
    CHECK(read_named_tap(t.directory) == std::nullopt);
}

TEST_CASE("named tap: a directory that was made anew names nothing to the disk before it", "[unit][tapback]") {
    const DiskHost t;
    t.make_directory();
    t.write_backend("pid", "4711");
    t.write_backend("minor", "3");
    CHECK(read_named_tap(t.directory) == std::nullopt);
}
