// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ChainFiles: opens the files of a chain of images one by one, refuses a chain that is too long or contains a loop, and
// collects the limits of direct I/O to all files. Finding the next file in a header is up to the format.
//
// Tested by tests/unit/qcow2/open_image_test.cpp and tests/unit/vhd/parent_test.cpp.
#pragma once

#include <string>
#include <vector>

#include "drivers/shared/memory_budget.hpp"
#include "drivers/tables/image_file.hpp"
#include "libblktap/driver_api/image_driver.hpp"
#include "libblktap/files/storage_limits.hpp"

namespace blktap::tables {

/// Most images of a chain: each makes look-ups slower.
inline constexpr std::size_t chain_length_max = 64;

class ChainFiles {
  public:
    /// `relation`: the relation of a file to the one above it, for messages ("backing file", "parent").
    /// Lifetime: `info` and `files` outlive this.
    ChainFiles(ImageInfo& info, Caching caching, ImageOpener& files, std::string relation);

    /// Opens the file at `path` as the next one of the chain: `file` gets its name, descriptor, length and alignments.
    /// The operator names the first file, the image above names every other. keep() adds the file to the chain.
    /// Errors: throws std::system_error naming the file: Errc::image_invalid (a loop; the chain is too long); those of
    /// the opener. Context: blocks.
    StorageLimits open(ImageFile& file, const std::string& path, Access access);
    /// Opens the data file of `image`, which was kept last: the image or the operator names `path`.
    /// Errors: as open(), naming both files; a file of the chain is refused.
    StorageLimits open_data(ImageFile& image, const std::string& path, bool named_by_image, Access access);
    /// Adds `file` to the chain. `memory` counts its buffers. Errors: throws std::system_error.
    void keep(const ImageFile& file, const StorageLimits& limits, MemoryBudget& memory);
    /// Number of files that were kept: 0 while the first one is being opened.
    std::size_t count() const noexcept { return names_.size(); }

  private:
    [[noreturn]] void refuse_loop(const std::string& path) const;
    void note(const StorageLimits& limits, bool of_first);

    ImageInfo& info_;
    const Caching caching_;
    ImageOpener& files_;
    const std::string relation_;
    std::vector<std::string> names_;
    std::vector<StorageLimits> limits_;  ///< of all files, including data files
};

}  // namespace blktap::tables
