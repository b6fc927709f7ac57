// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Contents for images that other programs make, and raw files to compare images with.
#pragma once

#include <fstream>
#include <string>

#include "tests/property/driver_comparison.hpp"
#include "tests/support/temporary_directory.hpp"

namespace blktap::testing {

/// A raw file with `model`'s contents.
inline std::string write_raw(const TemporaryDirectory& directory, const std::string& name, const ModelDisk& model) {
    std::string path = directory.make_file(name, model.size_sectors() * sector_size_bytes);
    std::vector<std::byte> bytes(model.size_sectors() * sector_size_bytes);
    for (std::uint64_t sector = 0; sector < model.size_sectors(); ++sector)
        ModelDisk::fill({sector, 1}, model.stamp(sector), std::span(bytes).subspan(sector * 512, 512));
    std::ofstream{path, std::ios::binary}.write(reinterpret_cast<const char*>(bytes.data()),
                                                static_cast<std::streamsize>(bytes.size()));
    return path;
}

/// Some of the disk written, in pieces of all sizes.
inline ModelDisk random_contents(std::mt19937_64& random, std::uint64_t sectors = comparison_sectors) {
    ModelDisk model{sectors};
    for (std::uint64_t stamp = 1; stamp < 60; ++stamp) {
        const std::uint64_t first = random() % sectors;
        model.write({first, std::min<std::uint64_t>(1 + random() % 200, sectors - first)}, stamp);
    }
    return model;
}

}  // namespace blktap::testing
