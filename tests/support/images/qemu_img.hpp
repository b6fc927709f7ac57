// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// qemu-img as an oracle: images made and judged by somebody else's program. Tests that need it warn and pass without.
#pragma once

#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/process.hpp"

namespace blktap::testing {

inline int run_qemu_img(std::vector<std::string> arguments, const std::string& output = "/dev/null") {
    arguments.insert(arguments.begin(), "/usr/bin/qemu-img");
    return run(arguments, {.output = output}, std::chrono::seconds(60));
}

inline bool qemu_img_available() {
    static const bool result = run_qemu_img({"--version"}) == 0;
    return result;
}

/// Throws when it fails.
inline void qemu_img(const std::vector<std::string>& arguments) {
    const int status = run_qemu_img(arguments, "/dev/stderr");
    if (status == 0) return;
    std::string line = "qemu-img";
    for (const std::string& argument : arguments)
        line += " " + argument;
    throw std::runtime_error(line + ": " + std::to_string(status));
}

/// Makes a qcow2 image of `size` ("4M") and returns its path. `options`: "cluster_size=4096,...", or empty.
inline std::string make_qcow2(const std::string& path, const std::string& size, const std::string& options = "",
                              const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{"create", "-q", "-f", "qcow2"};
    if (!options.empty()) arguments.insert(arguments.end(), {"-o", options});
    arguments.insert(arguments.end(), more.begin(), more.end());
    arguments.insert(arguments.end(), {path, size});
    qemu_img(arguments);
    return path;
}

/// Makes a VHD image of `size` and returns its path. `options`: "subformat=fixed,...", or empty.
inline std::string make_vhd(const std::string& path, const std::string& size, const std::string& options = "") {
    std::vector<std::string> arguments{"create", "-q", "-f", "vpc"};
    if (!options.empty()) arguments.insert(arguments.end(), {"-o", options});
    arguments.insert(arguments.end(), {path, size});
    qemu_img(arguments);
    return path;
}

/// 0: nothing is wrong. 2: damaged, and standard error says how. 3: clusters are leaked, nothing worse.
inline int check_qcow2(const std::string& path) {
    const std::vector<std::string> command{"check", "-q", "-f", "qcow2", path};
    const int status = run_qemu_img(command);
    return status == 0 || status == 3 ? status : run_qemu_img(command, "/dev/stderr");
}

}  // namespace blktap::testing
