// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What block-tapdisk does with a disk that libxl adds or removes: it tells tapback which image the toolstack named, and
// takes the device from the kernel's backend. It keeps no state and takes no lock, so any number may run at once.
//
// The nodes that it reads and writes are in docs/XL-DISKS.md. Tested by tests/unit/control/hotplug_test.cpp,
// tests/unit/control/hotplug_program_test.cpp.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "control/hotplug/takeover_rule.hpp"
#include "libblktap/ipc/vbd_address.hpp"
#include "libblktap/xenstore/xen_store.hpp"

namespace blktap::hotplug {

/// Where a hotplug program finds what it works with.
struct HotplugPlaces {
    std::string tapback_socket;
    std::string sysfs;
    /// All of "add": libxl kills a script after 40 s, and its user would not learn the reason.
    std::chrono::milliseconds time_limit = std::chrono::seconds(35);
};

class Hotplug {
  public:
    Hotplug(const XenStore& store, HotplugPlaces places) : store_(store), places_(std::move(places)) {}

    /// Gives the disk to tapback and returns when its image is open.
    /// Errors: throws std::system_error with the reason in a sentence. A disk that was claimed stays claimed, so that
    /// tapback walks it to Closed when libxl asks; only one that blkback does not let go is given back.
    void add(const ipc::VbdAddress& vbd) const;
    /// Writes why add() failed to where libxl and people look; nothing when the backend directory is gone.
    /// Errors: throws std::system_error.
    void report_failure(const ipc::VbdAddress& vbd, const std::string& reason) const;
    /// Takes the disk from tapback. Errors: throws std::system_error.
    void remove(const ipc::VbdAddress& vbd) const;
    /// Whether the disk is tapback's; when tapback does not answer, what its claim in the backend directory says.
    bool is_ours(const ipc::VbdAddress& vbd) const;
    /// What reason_to_leave() judges. Errors: throws std::system_error.
    PlainDisk describe(const ipc::VbdAddress& vbd) const;

  private:
    using Check = std::function<bool(const StoreTransaction&)>;
    bool write_if_present(
        const ipc::VbdAddress& vbd, const char* status, const std::optional<std::string>& reason,
        const Check& check = [](const auto&) { return true; }) const;

    const XenStore& store_;
    HotplugPlaces places_;
};

}  // namespace blktap::hotplug
