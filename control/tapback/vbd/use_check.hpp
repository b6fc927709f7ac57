// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// UseCheck: asks whether this domain uses a disk that tapback serves to it (own_device.hpp), without blocking: the disk
// may make the process that looks wait for as long as it likes.
//
// Tested by tests/unit/tapback/system/own_device_test.cpp.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "control/tapback/storage/storage_link.hpp"
#include "control/tapback/system/own_device.hpp"

namespace blktap::tapback {

class UseCheck {
  public:
    /// Gets what OwnDevice::use() returned; nullopt: there was no answer in time.
    using Done = std::function<void(const std::optional<std::string>& use)>;
    static constexpr Nanoseconds patience = std::chrono::seconds(10);

    /// `process`: a connection to a storage process, which looks. Calls `done` later, once, unless this is destroyed
    /// before. `done` must not destroy it.
    UseCheck(EventLoop& loop, ipc::MessageSocket process, const DevicePlaces& places, std::uint32_t device, Done done);
    UseCheck(const UseCheck&) = delete;
    UseCheck& operator=(const UseCheck&) = delete;

    bool running() const noexcept { return timer_.armed(); }

  private:
    void answered(const ipc::Reply& reply);
    void finish(const std::optional<std::string>& use);

    Done done_;
    StorageLink link_;
    EventLoop::Timer timer_;
};

}  // namespace blktap::tapback
