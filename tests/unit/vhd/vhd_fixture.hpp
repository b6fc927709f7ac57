// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Images on disk for tests of the VHD driver, made by the project's own program.
#pragma once

#include <filesystem>
#include <fstream>
#include <sys/stat.h>

#include "drivers/vhd/create.hpp"
#include "drivers/vhd/examine.hpp"
#include "drivers/vhd/open_image.hpp"
#include "tests/support/images/image_files.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/thrown.hpp"

namespace blktap::testing {

/// Makes the image and returns its path.
inline std::string make(const vhd::NewImage& image) {
    vhd::create_image(image);
    return image.path;
}

inline vhd::OpenedImage open_vhd(const std::string& path, Access access = Access::read_only) {
    LocalImageOpener files;
    return vhd::open_chain(path, access, Caching::buffered, files);
}

inline std::system_error refusal_of(const std::string& path, Access access = Access::read_only) {
    return thrown([&] { open_vhd(path, access); });
}

inline vhd::Findings check_vhd(const std::string& path) {
    return vhd::check_image(open_vhd(path).chain.front());
}

inline std::uint64_t file_size(const std::string& path) {
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return static_cast<std::uint64_t>(status.st_size);
}

/// The file as it is now, as if its process had been killed.
inline std::string killed(const std::string& path) {
    std::filesystem::copy_file(path, path + ".killed", std::filesystem::copy_options::overwrite_existing);
    return path + ".killed";
}

/// Rewrites a checksum after the bytes it is of were changed: the footer's at `offset`, or a header's.
inline void seal(const std::string& path, std::uint64_t offset, std::size_t length, std::size_t checksum_at) {
    const FileBytes file{path};
    std::vector<std::byte> bytes(length);
    for (std::size_t i = 0; i < length; ++i)
        bytes[i] = static_cast<std::byte>(file.get<unsigned char>(offset + i));
    file.put<std::uint32_t>(offset + checksum_at, vhd::checksum(bytes, checksum_at));
}
inline void seal_footer(const std::string& path, std::uint64_t offset) {
    seal(path, offset, vhd::footer_bytes, 64);
}
inline void seal_header(const std::string& path) {
    seal(path, vhd::footer_bytes, vhd::header_bytes, 36);
}

/// Where an image of ours has its table.
inline constexpr std::uint64_t table_offset = vhd::footer_bytes + vhd::header_bytes;

}  // namespace blktap::testing
