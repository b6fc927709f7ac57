// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Decides which disks of plain disk lines go to tapdisk while the wrapper replaces Xen's "block" script (tap-ctl
// takeover), and which stay with the kernel's backend. A pure function of facts about the disk.
//
// An HVM guest has a second user of the same file: its QEMU opens the file through the page cache to emulate the disk
// that the guest boots from. QEMU's cached data and tapdisk's direct I/O would not agree, so these disks stay with the
// kernel, as do those of QEMU's own domain (a stub domain), which serves the same files to the guest.
//
// Tested by tests/unit/control/takeover_rule_test.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace blktap::hotplug {

/// Facts about a disk.
struct PlainDisk {
    std::string params{};       ///< as in its backend directory
    bool kernel_kind = true;    ///< the directory is in backend/vbd
    bool regular_file = false;  ///< `params` names a regular file, with symbolic links resolved
    bool direct_io = false;     ///< the file can be opened with O_DIRECT
    std::uint16_t domain = 0;
    /// /libxl/D/type: "pv", "pvh" or "hvm"; nullopt where there is no such node.
    std::optional<std::string> guest_type{};
    bool device_model = false;  ///< the domain is another one's device model: /local/domain/D/target exists
};

/// Returns nullopt if the disk goes to tapdisk, otherwise the reason why not, for the log.
std::optional<std::string> reason_to_leave(const PlainDisk& disk);

}  // namespace blktap::hotplug
