// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ring-replay: a guest without a guest (ring-replay(1)).
#include "libblktap/base/signals.hpp"
#include "tests/replay/command_line.hpp"

int main(int argc, char** argv) {
    blktap::survive_file_size_limit();
    return static_cast<int>(blktap::replay::run_command_line(argc, argv));
}
