// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/call_names.hpp"

#include <string>
#include <sys/syscall.h>

#include "tests/support/catch.hpp"

using namespace blktap;

TEST_CASE("call names: system calls are known by their numbers", "[unit][base]") {
    CHECK(std::string(call_name(SYS_read)) == "read");
    CHECK(std::string(call_name(SYS_openat)) == "openat");
    CHECK(std::string(call_name(SYS_clone3)) == "clone3");
    CHECK(std::string(call_name(-1)) == "unknown");
    CHECK(std::string(call_name(1'000'000)) == "unknown");
}
