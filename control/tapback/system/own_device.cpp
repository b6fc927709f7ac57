// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/system/own_device.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <vector>

#include "libblktap/base/unique_fd.hpp"

namespace blktap::tapback {
namespace {

/// A disk or one of its partitions.
struct BlockDevice {
    std::string name;    ///< "xvda1"
    std::string number;  ///< "202:1"
    std::string directory;
};

std::vector<std::string> entries_of(const std::string& directory) {
    std::vector<std::string> names;
    std::error_code ignored;  // the device may vanish at any moment
    for (std::filesystem::directory_iterator entry(directory, ignored), end; !ignored && entry != end;
         entry.increment(ignored))
        names.push_back(entry->path().filename());
    return names;
}

std::string first_line(const std::string& path) {
    std::string line;
    std::ifstream file(path);
    std::getline(file, line);
    return line;
}

/// Returns the disk, then its partitions.
std::vector<BlockDevice> block_devices(const std::string& directory) {
    std::vector<BlockDevice> found;
    for (const std::string& name : entries_of(directory + "/block")) {
        const std::string disk = directory + "/block/" + name;
        found.push_back({name, first_line(disk + "/dev"), disk});
        for (const std::string& part : entries_of(disk)) {
            const std::string below = disk + '/' + part;
            if (::access((below + "/partition").c_str(), F_OK) == 0)
                found.push_back({part, first_line(below + "/dev"), below});
        }
    }
    return found;
}

/// Decodes a path of the kernel's lists, where a blank is \040.
std::string unescaped(const std::string& text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool escape = text[i] == '\\' && text.find_first_not_of("01234567", i + 1) >= i + 4;
        if (escape && i + 3 < text.size()) {
            plain += static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8));
            i += 3;
        } else {
            plain += text[i];
        }
    }
    return plain;
}

/// Returns where the device is mounted; empty: nowhere. Compares names as well, because btrfs mounts have numbers of
/// their own.
std::string mount_of(const BlockDevice& device, const std::string& mounts) {
    std::ifstream file(mounts);
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string skipped, number, root, point, word, type, source;
        words >> skipped >> skipped >> number >> root >> point;
        while (words >> word && word != "-") {
        }
        words >> type >> source;
        if (number == device.number || source == "/dev/" + device.name) return unescaped(point);
    }
    return {};
}

bool swaps_on(const BlockDevice& device, const std::string& swaps) {
    std::ifstream file(swaps);
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("/dev/" + device.name + ' ') || line.starts_with("/dev/" + device.name + '\t'))
            return true;
    return false;
}

/// Whether the device is claimed by a user that no list names: a mount in another namespace, a volume of several disks.
bool is_claimed(const BlockDevice& device, const std::string& nodes) {
    const std::string path = nodes + '/' + device.name;
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) return false;
    const std::string number = std::to_string(major(status.st_rdev)) + ':' + std::to_string(minor(status.st_rdev));
    if (number != device.number) return false;  // another device has the name
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC));
    return !fd && errno == EBUSY;
}

}  // namespace

DevicePlaces default_device_places() {
    DevicePlaces places;
    if (const char* sysfs = std::getenv("TAPDISK_SYSFS")) places.sysfs = sysfs;
    return places;
}

// Not /sys/bus/xen/devices/vbd-N, which is removed before the driver has released the device.
OwnDevice::OwnDevice(DevicePlaces places, std::uint32_t device)
    : places_(std::move(places)), directory_(places_.sysfs + "/devices/vbd-" + std::to_string(device)) {}

bool OwnDevice::present() const {
    return ::access(directory_.c_str(), F_OK) == 0;
}

std::string OwnDevice::use() const {
    const std::vector<BlockDevice> devices = block_devices(directory_);
    for (const BlockDevice& device : devices) {
        if (const std::string point = mount_of(device, places_.mounts); !point.empty())
            return "in use: mounted on " + point;
        if (swaps_on(device, places_.swaps)) return "in use: /dev/" + device.name + " is swap space";
        for (const std::string& holder : entries_of(device.directory + "/holders"))
            return "in use: by the device " + holder;
    }
    // A claim on a partition is also one on the disk.
    for (const BlockDevice& device : devices)
        if (is_claimed(device, places_.nodes)) return "in use: /dev/" + device.name + " is claimed by another program";
    return {};
}

}  // namespace blktap::tapback
