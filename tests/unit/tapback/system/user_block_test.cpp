// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/system/user_block.hpp"

#include <string>

#include "tests/support/catch.hpp"

using namespace blktap::tapback;

namespace {

constexpr uid_t first = 0x78000000;
constexpr uid_t second = first + user_block_size;

std::string user(const std::string& name, unsigned long id) {
    return name + ":x:" + std::to_string(id) + ":0::/:/bin/false\n";
}

}  // namespace

TEST_CASE("user block: on a host with the usual users it is the first one", "[unit][tapback]") {
    const std::string passwd = user("root", 0) + user("nobody", 65534) + user("xen-qemuuser-range-base", 131072) +
                               "a line that is none\n:::\n";
    CHECK(choose_user_block({passwd, "root:x:0:\n", "me:100000:65536\nyou:165536:65536\n", ""}) == first);
    CHECK(choose_user_block({}) == first);
}

TEST_CASE("user block: a block in which the host has users or groups is not taken", "[unit][tapback]") {
    CHECK(choose_user_block({.passwd = user("a", first)}) == second);
    CHECK(choose_user_block({.passwd = user("a", second - 1)}) == second);
    CHECK(choose_user_block({.passwd = user("a", second)}) == first);
    CHECK(choose_user_block({.passwd = user("a", first - 1)}) == first);
    CHECK(choose_user_block({.group = "a:x:" + std::to_string(first + 7) + ":\n"}) == second);
    const std::string both = user("a", first + 1) + user("b", second + 1);
    CHECK(choose_user_block({.passwd = both}) == second + user_block_size);
}

TEST_CASE("user block: no ids of containers, and none of libxl's range for QEMU, are in it", "[unit][tapback]") {
    const std::string before = std::to_string(first - 10);
    CHECK(choose_user_block({.subuid = "a:" + before + ":10\n"}) == first);
    CHECK(choose_user_block({.subuid = "a:" + before + ":11\n"}) == second);
    CHECK(choose_user_block({.subgid = "a:" + before + ":11\n"}) == second);
    CHECK(choose_user_block({.subuid = "a:1:4294967295\n"}) == std::nullopt);
    CHECK(choose_user_block({.passwd = user("xen-qemuuser-range-base", first - 0x7ff0)}) == first);
    CHECK(choose_user_block({.passwd = user("xen-qemuuser-range-base", first - 0x7fef)}) == second);
}
