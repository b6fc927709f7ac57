// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/shared/image_path.hpp"

namespace blktap {

std::string tidied(const std::filesystem::path& path) {
    std::filesystem::path result;
    for (const std::filesystem::path& part : path) {
        if (part != ".") result /= part;
    }
    return result;
}

std::string path_beside(const std::string& image_path, const std::string& name) {
    return tidied(std::filesystem::path{image_path}.parent_path() / name);
}

}  // namespace blktap
