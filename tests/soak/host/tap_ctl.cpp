// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/soak/host/tap_ctl.hpp"

#include <filesystem>

#include "tests/soak/host/tapback_calls.hpp"

namespace blktap::soak {

TapCtl::Outcome TapCtl::run(std::vector<std::string> words) const {
    words.insert(words.begin(), {BLKTAP_BIN_DIR "/tap-ctl", "--socket", host_.run_directory() + "/tapback.sock"});
    const std::string output = host_.path("tap-ctl-" + std::to_string(++runs_));
    const int status = testing::run(words, {.environment = host_.environment(0), .output = output}, patience);
    const Outcome outcome{status, testing::read_file(output)};
    std::filesystem::remove(output);
    return outcome;
}

}  // namespace blktap::soak
