// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// OwnDevice: what this domain's own kernel makes of a disk that it has from us: the block device, and who uses that. A
// guest closes its disk when it is done with it; this domain's kernel closes one that is mounted as well, and what was
// not written yet is lost. So whoever takes such a disk away has to ask here first.
//
// Tested by tests/unit/tapback/own_device_test.cpp.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "libblktap/base/event_loop.hpp"

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
    /// Context: may wait for the disk, for instance while its partitions are being looked for.
    std::string use() const;

  private:
    DevicePlaces places_;
    std::string directory_;  ///< of the device in sysfs
};

/// Asks for OwnDevice::use() without waiting for it.
class UseCheck {
  public:
    /// nullopt: it did not become known in time.
    using Done = std::function<void(const std::optional<std::string>& use)>;
    static constexpr Nanoseconds patience = std::chrono::seconds(10);

    /// Calls `done` later, once, unless this is destroyed before. `done` must not destroy it.
    /// Errors: throws std::system_error (no thread, no descriptor).
    UseCheck(EventLoop& loop, OwnDevice device, Done done);
    UseCheck(const UseCheck&) = delete;
    UseCheck& operator=(const UseCheck&) = delete;

    bool running() const noexcept { return watch_.has_value(); }

  private:
    void answer();
    void finish(const std::optional<std::string>& use);

    Done done_;
    UniqueFd pipe_;
    std::string told_;
    std::optional<EventLoop::Watch> watch_;
    EventLoop::Timer timer_;
};

}  // namespace blktap::tapback
