// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/system/violation_record.hpp"

#include "tests/support/catch.hpp"

using namespace blktap::tapback;
using Catch::Contains;

namespace {

constexpr std::string_view record =
    "4,1234,5678901,-;audit: type=1326 audit(1764532800.123:45): auid=4294967295 uid=2013270630 gid=2013270630 "
    "ses=4294967295 subj=unconfined pid=4711 comm=\"tapdisk\" exe=\"/usr/sbin/tapdisk\" sig=31 arch=c000003e "
    "syscall=257 "
    "compat=0 ip=0x7f0000000000 code=0x80000000\n";

}  // namespace

TEST_CASE("violation record: has the number of the call of that process", "[unit][tapback]") {
    CHECK(forbidden_call(record, 4711) == 257);
    CHECK_FALSE(forbidden_call(record, 471).has_value());
    CHECK_FALSE(forbidden_call(record, 47110).has_value());
}

TEST_CASE("violation record: other lines of the kernel's log have none", "[unit][tapback]") {
    CHECK_FALSE(forbidden_call("", 1).has_value());
    CHECK_FALSE(forbidden_call("6,1,2,-;EXT4-fs (loop0): mounted pid=4711 syscall=1", 4711).has_value());
    CHECK_FALSE(forbidden_call("6,1,2,-;audit: type=1326 audit(1.2:3): pid=4711 comm=\"x", 4711).has_value());
    CHECK_FALSE(forbidden_call("6,1,2,-;audit: type=1326 audit(1.2:3): pid=x syscall=1", 4711).has_value());
}

TEST_CASE("violation record: without one people are told what is known", "[unit][tapback]") {
    CHECK_THAT(describe_violation(-1), Contains("a system call that its sandbox forbids"));
}
