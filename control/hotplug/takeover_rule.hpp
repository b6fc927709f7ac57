// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Which disks of plain disk lines become ours when the wrapper stands in the place of Xen's "block" script
// (tap-ctl takeover), and which stay with the kernel's backend. A pure function of what is known about the disk.
//
// A guest with an emulated device model (QEMU of an HVM guest) has a second user of the same file: QEMU opens it under
// its own cache to emulate the disk that the guest boots from. Its two caches and ours would not agree, so these disks
// stay where they are, as do those of QEMU's own domain (a stub domain), which serves the same files to the guest.
//
// Tested by tests/unit/control/takeover_rule_test.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace blktap::hotplug {

/// What is known about a disk.
struct PlainDisk {
    std::string params{};       ///< as in its backend directory
    bool kernel_kind = true;    ///< in backend/vbd
    bool regular_file = false;  ///< `params` is one, through symbolic links
    bool direct_io = false;     ///< and it can be opened with O_DIRECT
    std::uint16_t domain = 0;
    /// /libxl/D/type: "pv", "pvh" or "hvm"; nullopt where there is no such node.
    std::optional<std::string> guest_type{};
    bool device_model = false;  ///< the domain runs another one's device model: /local/domain/D/target
};

/// nullopt: it is ours. Else why it is not, for the log.
std::optional<std::string> reason_to_leave(const PlainDisk& disk);

}  // namespace blktap::hotplug
