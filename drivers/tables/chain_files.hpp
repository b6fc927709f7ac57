// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ChainFiles: opens the files of a chain of images, one under the other, refuses a chain that is too long or leads back
// to itself, and gathers what direct I/O to all of them allows. What a format's header says of the next file is the
// format's.
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

/// Images of a chain, at most: each costs every look-up.
inline constexpr std::size_t chain_length_max = 64;

class ChainFiles {
  public:
    /// `relation`: what a file is to the one above it, as a message calls it ("backing file", "parent").
    /// Lifetime: `info` and `files` outlive this.
    ChainFiles(ImageInfo& info, Caching caching, ImageOpener& files, std::string relation);

    /// Opens the file at `path` as the next one of the chain: `file` gets its name, descriptor, length and alignments.
    /// The first one is named by the operator, every other by the one above it. It is part of the chain after keep().
    /// Errors: throws std::system_error naming the file: Errc::image_invalid (a loop; the chain is too long); what the
    /// opener throws. Context: blocks.
    StorageLimits open(ImageFile& file, const std::string& path, Access access);
    /// Opens the file with the data of `image`, which was kept last: `path` is named by the image, or by the operator.
    /// Errors: as open(), naming both files; a file of the chain is refused.
    StorageLimits open_data(ImageFile& image, const std::string& path, bool named_by_image, Access access);
    /// `file` is the chain's next one. Its buffers are taken from `memory`. Errors: throws std::system_error.
    void keep(const ImageFile& file, const StorageLimits& limits, MemoryBudget& memory);
    /// Files that were kept: 0 while the first one is being opened.
    std::size_t count() const noexcept { return names_.size(); }

  private:
    [[noreturn]] void refuse_loop(const std::string& path) const;
    void note(const StorageLimits& limits, bool of_first);

    ImageInfo& info_;
    const Caching caching_;
    ImageOpener& files_;
    const std::string relation_;
    std::vector<std::string> names_;
    std::vector<StorageLimits> limits_;  ///< of all files, those with data too
};

}  // namespace blktap::tables
