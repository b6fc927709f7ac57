// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/files/device_discard.hpp"

#include <fstream>
#include <string>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace blktap {
namespace {

/// Returns the number in /sys/dev/block/MAJOR:MINOR/`name`; nullopt if there is none.
std::optional<std::uint64_t> read_device_limit(dev_t device, const std::string& name) {
    std::ifstream file{"/sys/dev/block/" + std::to_string(major(device)) + ":" + std::to_string(minor(device)) + "/" +
                       name};
    std::uint64_t value = 0;
    return file >> value ? std::optional{value} : std::nullopt;
}

/// Returns a limit of the device's queue, which a partition shares with its disk.
std::optional<std::uint64_t> read_queue_limit(dev_t device, const std::string& name) {
    const auto own = read_device_limit(device, "queue/" + name);
    return own ? own : read_device_limit(device, "../queue/" + name);
}

}  // namespace

DeviceDiscard read_device_discard(int fd) {
    struct stat status {};
    if (::fstat(fd, &status) != 0 || !S_ISBLK(status.st_mode)) return {};
    return {read_queue_limit(status.st_rdev, "discard_max_bytes"),
            read_queue_limit(status.st_rdev, "discard_granularity"),
            read_device_limit(status.st_rdev, "discard_alignment")};
}

}  // namespace blktap
