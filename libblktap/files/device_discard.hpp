// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What sysfs says about discards on a block device. No ioctl says it, and a tapdisk in its sandbox sees no sysfs:
// whoever opens the device for it looks there (ImageOpener::device_discard()).
//
// Tested by tests/unit/drivers/discard_test.cpp, tests/unit/tapdisk/controller_files_test.cpp.
#pragma once

#include <cstdint>
#include <optional>

namespace blktap {

/// Each number may be missing: sysfs is not there, or the file is no block device.
struct DeviceDiscard {
    std::optional<std::uint64_t> max_bytes{};  ///< 0: the device discards nothing
    std::optional<std::uint64_t> granularity_bytes{};
    std::optional<std::uint64_t> alignment_bytes{};
};

/// Reads the numbers of the block device behind `fd`; none for another file. Context: may block.
DeviceDiscard read_device_discard(int fd);

}  // namespace blktap
