// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ring-replay: a guest without a guest (ring-replay(1)).
#include "tests/replay/command_line.hpp"

int main(int argc, char** argv) {
    return static_cast<int>(blktap::replay::run_command_line(argc, argv));
}
