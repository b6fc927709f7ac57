// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/hotplug/blkback.hpp"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <unistd.h>

#include "libblktap/base/error.hpp"
#include "libblktap/base/unique_fd.hpp"

namespace blktap::hotplug {

std::string default_sysfs() {
    const char* path = std::getenv("TAPDISK_SYSFS");
    return path != nullptr && *path != '\0' ? path : "/sys";
}

bool unbind_from_blkback(const std::string& sysfs, const ipc::VbdAddress& vbd) {
    const std::string path = sysfs + "/bus/xen-backend/drivers/vbd/unbind";
    const UniqueFd unbind{::open(path.c_str(), O_WRONLY | O_CLOEXEC)};
    if (!unbind) {
        if (errno == ENOENT) return false;
        throw_system_error(path);
    }
    const std::string device = "vbd-" + std::to_string(vbd.domain) + '-' + std::to_string(vbd.device);
    if (::write(unbind.get(), device.data(), device.size()) == static_cast<ssize_t>(device.size())) return true;
    if (errno == ENODEV) return false;
    throw_system_error(path + ": " + device);
}

}  // namespace blktap::hotplug
