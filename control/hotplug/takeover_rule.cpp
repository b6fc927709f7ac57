// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/hotplug/takeover_rule.hpp"

namespace blktap::hotplug {

std::optional<std::string> reason_to_leave(const PlainDisk& disk) {
    if (!disk.kernel_kind) return "it is not in backend/vbd";
    if (!disk.params.starts_with('/')) return "its target is not an absolute path";
    if (!disk.regular_file) return "its target is not a regular file";
    if (!disk.direct_io) return "its file system cannot do direct I/O";
    if (disk.domain == 0) return std::nullopt;  // dom0 itself, for pygrub or "xl block-attach 0"
    if (disk.device_model) return "the domain is another guest's device model";
    if (!disk.guest_type) return "the type of the guest is unknown";
    if (*disk.guest_type == "pv" || *disk.guest_type == "pvh") return std::nullopt;
    return "the guest has an emulated device model (its type is " + *disk.guest_type + ")";
}

}  // namespace blktap::hotplug
