// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// OwnDisk: a disk whose guest may be this domain itself. Then its kernel is the guest: tapback can find out who uses
// the disk (own_device.hpp), and must not wait for the kernel before it has answered the kernel's requests.
//
// Tested by tests/unit/tapback/vbd/own_disk_test.cpp and tests/control/own_disk_test.cpp.
#pragma once

#include <functional>
#include <optional>

#include "control/tapback/storage/image_files.hpp"
#include "control/tapback/system/own_device.hpp"
#include "control/tapback/vbd/use_check.hpp"
#include "control/tapback/xenbus/store_session.hpp"
#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tapback {

class OwnDisk {
  public:
    using Done = std::function<void(const ipc::Reply&)>;
    struct Places {
        EventLoop& loop;
        const StoreSession& store;
        ImageFiles& files;
        DevicePlaces devices;
    };

    /// All of `places` outlives this.
    OwnDisk(Places places, const ipc::VbdAddress& disk) : places_(std::move(places)), disk_(disk) {}
    OwnDisk(const OwnDisk&) = delete;
    OwnDisk& operator=(const OwnDisk&) = delete;

    /// Whether the disk's guest is this domain; also false while xenstored is away. Errors: throws std::system_error
    /// (xenstored's).
    bool is_own() const;
    /// Whether the frontend nodes are gone, but this domain's kernel still has the device. Errors: as is_own().
    bool is_left_to_kernel() const;
    /// Checks, without blocking, whether this domain uses the disk: calls `go_on`, whose errors become replies, or
    /// answers `done` with EBUSY. `request` names the request in errors. Errors: throws Errc::wrong_state: a check is
    /// under way.
    void check_use(const char* request, std::function<void()> go_on, const Done& done);

  private:
    const Places places_;
    const ipc::VbdAddress disk_;
    std::optional<UseCheck> use_check_;
};

}  // namespace blktap::tapback
