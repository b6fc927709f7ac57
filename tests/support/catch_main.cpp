// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The main() of every test program; version 3 of Catch2 brings its own and ignores the macro.
#define CATCH_CONFIG_MAIN
#include "tests/support/catch.hpp"

// libxenstore leaks replies and events that were on their way when a watch, or its connection, ended: a few bytes each,
// to which no pointer of ours refers. Leaks of our own code are still reported.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
    return "leak:libxenstore.so\n";
}
