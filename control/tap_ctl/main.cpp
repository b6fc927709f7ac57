// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// tap-ctl: the operator's command. See tap-ctl(8).
#include <iostream>

#include "control/tap_ctl/command_line.hpp"
#include "libblktap/base/signals.hpp"

int main(int argument_count, char** arguments) {
    blktap::survive_file_size_limit();
    return blktap::tap_ctl::run_tap_ctl(argument_count, arguments, std::cout, std::cerr);
}
