// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/assert.hpp"

#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/catch.hpp"
#include "tests/unit/base/captured_stderr.hpp"

TEST_CASE("assert: a true expression does nothing and is evaluated once", "[unit][base]") {
    int evaluated = 0;
    BLKTAP_ASSERT(++evaluated == 1);
    CHECK(evaluated == 1);
}

TEST_CASE("assert: a false expression says which one and where, and aborts", "[unit][base]") {
    const blktap::testing::CapturedStderr captured;
    const pid_t child = ::fork();
    if (child == 0) {
        std::signal(SIGABRT, SIG_DFL);
        BLKTAP_ASSERT(1 + 1 == 3);
        ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGABRT);
    CHECK(captured.text().find("assert_test.cpp:") != std::string::npos);
    CHECK(captured.text().find("assertion failed: 1 + 1 == 3\n") != std::string::npos);
}
