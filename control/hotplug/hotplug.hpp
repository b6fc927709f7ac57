// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Hotplug: the commands of block-tapdisk for a disk that libxl adds or removes: tells tapback which image the toolstack
// named, and unbinds the device from the kernel's backend. No state and no lock, so any number may run at once.
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

/// Paths and limits of a hotplug program.
struct HotplugPlaces {
    std::string tapback_socket;
    std::string sysfs;
    /// Limit for the whole of "add": libxl kills a script after 40 s, and its user would not learn the reason.
    std::chrono::milliseconds time_limit = std::chrono::seconds(35);
};

class Hotplug {
  public:
    Hotplug(const XenStore& store, HotplugPlaces places) : store_(store), places_(std::move(places)) {}

    /// Gives the disk to tapback and returns when its image is open.
    /// Errors: throws std::system_error with the reason in a sentence. A claimed disk stays claimed, so that tapback
    /// brings it to Closed when libxl asks; only if blkback does not release the device, the claim is dropped.
    void add(const ipc::VbdAddress& vbd) const;
    /// Writes the reason why add() failed into the backend directory, for libxl and people, if the directory exists.
    /// Errors: throws std::system_error.
    void report_failure(const ipc::VbdAddress& vbd, const std::string& reason) const;
    /// Has tapback give the disk up. Errors: throws std::system_error.
    void remove(const ipc::VbdAddress& vbd) const;
    /// Whether the disk is tapback's; if tapback does not answer, whether the backend directory has its claim.
    bool is_ours(const ipc::VbdAddress& vbd) const;
    /// Collects the facts for reason_to_leave(). Errors: throws std::system_error.
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
