// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The main() of every test program; version 3 of Catch2 brings its own and ignores the macro.
#define CATCH_CONFIG_MAIN
#include "tests/support/catch.hpp"

// libxenstore forgets replies and events that were on their way when a watch, or its connection, ended: its leak, a few
// bytes each, of which we hold nothing. Whatever our own code allocates is still reported.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
    return "leak:libxenstore.so\n";
}
