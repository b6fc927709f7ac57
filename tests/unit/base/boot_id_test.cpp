// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/boot_id.hpp"

#include "libblktap/base/small_file.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/thrown.hpp"

using namespace blktap;

TEST_CASE("boot id: the text of the kernel becomes its sixteen bytes", "[unit][base]") {
    const BootId id = parse_boot_id("00ff10a2-1234-5678-9abc-def001020304\n");
    CHECK(id == BootId{0x00, 0xff, 0x10, 0xa2, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x01, 0x02, 0x03, 0x04});
}

TEST_CASE("boot id: any other text is refused", "[unit][base]") {
    const std::string text =
        GENERATE("", "00ff10a2-1234-5678-9abc-def0010203", "00ff10a2-1234-5678-9abc-def00102030405",
                 "00ff10a2-1234-5678-9abc-def00102030x", "not one");
    CAPTURE(text);
    CHECK(testing::thrown([&] { parse_boot_id(text); }).code() == std::errc::io_error);
}

TEST_CASE("boot id: it is that of this host, and is read once", "[unit][base]") {
    const BootId& id = boot_id();
    CHECK(id == parse_boot_id(read_small_file("/proc/sys/kernel/random/boot_id").value()));
    CHECK(&boot_id() == &id);
}
