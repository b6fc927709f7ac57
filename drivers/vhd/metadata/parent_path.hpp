// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Paths of the parent of a differencing image: an image can name it several times, relative to itself and absolutely,
// for Windows, for a Mac and, in XenServer's way, for Linux.
//
// Pure text. Tested by tests/unit/vhd/parent_path_test.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace blktap::vhd {

/// A parent's name as it is stored: the bytes of one locator.
struct ParentName {
    std::uint32_t platform = 0;
    std::vector<std::byte> bytes;
};

/// Returns the path in `name`, with '/' and without a drive's letter; nullopt if it is empty or of another platform.
std::optional<std::string> decode_parent(const ParentName& name);

/// Returns `path` as a locator of `platform` stores it.
std::vector<std::byte> encode_parent(std::uint32_t platform, const std::string& path);

/// Returns the paths to try for the parent of the image at `image_path`, each once: relative names first, since images
/// are moved together.
std::vector<std::string> parent_paths(const std::string& image_path, const std::vector<ParentName>& names);

}  // namespace blktap::vhd
