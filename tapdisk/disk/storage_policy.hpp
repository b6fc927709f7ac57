// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// StoragePolicy: what to do when the storage under an image is full, nearly full, or broken. These are options of every
// image, whatever its format; docs/FULL-DISK.md is the operator's view.
//
// Tested by tests/unit/tapdisk/disk/storage_policy_test.cpp and full_disk_test.cpp.
#pragma once

#include <cstdint>
#include <optional>

#include "libblktap/base/clock.hpp"
#include "libblktap/driver_api/image_driver.hpp"

namespace blktap {

struct StoragePolicy {
    /// How long a request waits for space before it fails; nullopt: for ever.
    std::optional<Nanoseconds> no_space_timeout{};
    /// Requests with an error of the storage wait and are retried instead of failing; flushes never. nullopt: the
    /// driver of the image decides (ImageInfo::waits_for_storage).
    std::optional<bool> hold_errors{};
    /// Free space below which the operator is warned; nullopt: the smaller of 1 GiB and a twentieth of the file system.
    std::optional<std::uint64_t> low_space_bytes{};

    /// Whether `free_bytes` of a file system of `total_bytes` is low.
    bool is_low(std::uint64_t free_bytes, std::uint64_t total_bytes) const noexcept;
};

/// Removes enospc-timeout=SECONDS|forever, on-error=report|hold and low-space=SIZE|off from the options of `image`; the
/// remaining ones are the driver's. Errors: throws std::system_error (EINVAL), naming image, option and value.
StoragePolicy take_storage_policy(ImageSpec& image);

}  // namespace blktap
