// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// OwnDevice: what this domain's own kernel makes of a disk that it has from us: the block device, and who uses that. A
// guest closes its disk when it is done with it; this domain's kernel closes one that is mounted as well, and what was
// not written yet is lost. So whoever takes such a disk away has to ask here first.
//
// Tested by tests/unit/tapback/own_device_test.cpp.
#pragma once

#include <cstdint>
#include <string>

namespace blktap::tapback {

/// Where the kernel tells of its devices.
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

    /// The kernel has the device still. It goes on having it after its nodes in xenstore are gone, until all that was
    /// sent to the disk is answered.
    bool present() const;
    /// Who uses it, for people: "in use: mounted on /mnt"; empty: nobody. What has merely opened it does not count.
    /// Context: may wait for the disk, for instance while its partitions are being looked for; see use_check.hpp.
    std::string use() const;

  private:
    DevicePlaces places_;
    std::string directory_;  ///< of the device in sysfs
};

}  // namespace blktap::tapback
