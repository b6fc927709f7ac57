// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// OwnDevice: the block device of a disk that tapback gives to this domain itself, and its users. A guest closes its
// disk when it has finished; this domain's kernel closes a disk even if it is mounted, and unwritten data is lost. So
// before such a disk is removed, its use must be checked here.
//
// Tested by tests/unit/tapback/system/own_device_test.cpp.
#pragma once

#include <cstdint>
#include <string>

namespace blktap::tapback {

/// Where the kernel lists its devices and mounts.
struct DevicePlaces {
    std::string sysfs = "/sys";
    std::string mounts = "/proc/self/mountinfo";
    std::string swaps = "/proc/swaps";
    std::string nodes = "/dev";
};

/// The real ones; $TAPDISK_SYSFS is another root of sysfs.
DevicePlaces default_device_places();

class OwnDevice {
  public:
    /// `device`: the virtual device's number, 51712.
    OwnDevice(DevicePlaces places, std::uint32_t device);

    /// Whether the kernel still has the device. It keeps the device after the nodes in xenstore are gone, until all
    /// requests to the disk are answered.
    bool present() const;
    /// Returns who uses the device, for people: "in use: mounted on /mnt"; empty: nobody. Programs that have merely
    /// opened it do not count. Context: may wait for the disk, for instance during a partition scan; see use_check.hpp.
    std::string use() const;

  private:
    DevicePlaces places_;
    std::string directory_;  ///< of the device in sysfs
};

}  // namespace blktap::tapback
