// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// world_warden WORLD DIRECTORY...: waits until its standard input ends, then kills every process of that world and
// removes the directories. What a test leaves that was killed itself, by a time limit say, is no other test's burden.
#include <array>
#include <cstdio>
#include <filesystem>
#include <unistd.h>

#include "tests/control/host/world_processes.hpp"

int main(int argument_count, char** arguments) {
    if (argument_count < 2) {
        std::fputs("usage: world_warden WORLD [DIRECTORY...] <PIPE\n", stderr);
        return 2;
    }
    // Nobody's child any more: ctest kills all descendants of a test that takes too long.
    if (::fork() != 0) ::_exit(0);
    ::setsid();
    std::array<char, 16> nothing;
    while (::read(STDIN_FILENO, nothing.data(), nothing.size()) > 0) {
    }
    blktap::control_test::end_processes_of(arguments[1]);
    for (int i = 1; i < argument_count; ++i) {
        std::error_code ignored;
        std::filesystem::remove_all(arguments[i], ignored);
    }
}
