// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/hotplug/takeover_rule.hpp"

#include "tests/support/catch.hpp"

namespace blktap::hotplug {
namespace {

const PlainDisk taken{.params = "/srv/a.img",
                      .kernel_kind = true,
                      .regular_file = true,
                      .direct_io = true,
                      .domain = 5,
                      .guest_type = "pv",
                      .device_model = false};

/// The reason, when one thing about the disk is different.
template <class Change>
std::string reason(Change change) {
    PlainDisk disk = taken;
    change(disk);
    return reason_to_leave(disk).value_or("taken");
}

}  // namespace

TEST_CASE("takeover rule: files of PV and PVH guests are taken", "[unit][control]") {
    CHECK_FALSE(reason_to_leave(taken));
    CHECK(reason([](PlainDisk& disk) { disk.guest_type = "pvh"; }) == "taken");
    CHECK(reason([](PlainDisk& disk) { disk.params = "/srv/a?b=c%"; }) == "taken");
}

TEST_CASE("takeover rule: dom0 is no guest, and has no device model", "[unit][control]") {
    const auto dom0 = [](PlainDisk& disk) { disk.domain = 0, disk.guest_type.reset(); };
    CHECK(reason(dom0) == "taken");
}

TEST_CASE("takeover rule: a second user of the file keeps it with the kernel", "[unit][control]") {
    CHECK_THAT(reason([](PlainDisk& disk) { disk.guest_type = "hvm"; }), Catch::Contains("emulated device model"));
    CHECK_THAT(reason([](PlainDisk& disk) { disk.device_model = true; }), Catch::Contains("device model"));
    CHECK_THAT(reason([](PlainDisk& disk) { disk.guest_type.reset(); }), Catch::Contains("unknown"));
    CHECK_THAT(reason([](PlainDisk& disk) { disk.guest_type = "new"; }), Catch::Contains("its type is new"));
}

TEST_CASE("takeover rule: what tapdisk cannot serve stays with the kernel", "[unit][control]") {
    CHECK_THAT(reason([](PlainDisk& disk) { disk.regular_file = false; }), Catch::Contains("not a regular file"));
    CHECK_THAT(reason([](PlainDisk& disk) { disk.direct_io = false; }), Catch::Contains("direct I/O"));
    CHECK_THAT(reason([](PlainDisk& disk) { disk.params = "a.img"; }), Catch::Contains("absolute path"));
    CHECK_THAT(reason([](PlainDisk& disk) { disk.params = ""; }), Catch::Contains("absolute path"));
    CHECK_THAT(reason([](PlainDisk& disk) { disk.kernel_kind = false; }), Catch::Contains("backend/vbd"));
}

}  // namespace blktap::hotplug
