// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// VbdAddress: how messages, xenstore paths and people name a VBD: "backend/vbd3/5/51712", "5/51712", "xvda". The daemon
// and its clients read and write these names with the same code.
//
// Tested by tests/unit/ipc/vbd_address_test.cpp.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace blktap::ipc {

/// Returns the number that xenstore uses for a device that the toolstack names "xvda", "sdb1" or "hdc"; also accepts
/// such a number, decimal or 0x hexadecimal. nullopt: not a device.
/// Source: Xen's docs/man/xen-vbd-interface.7: 202, 3/22 and 8 are the majors that Linux gave these names.
std::optional<std::uint32_t> device_number(std::string_view name);
/// Returns "xvda" for 51712; the number as text if it is no xvd device.
std::string device_name(std::uint32_t device);

struct VbdAddress {
    enum class Kind { vbd, vbd3 };

    Kind kind = Kind::vbd3;
    std::uint16_t domain = 0;  ///< the frontend's
    std::uint32_t device = 0;

    /// "backend/vbd3/5/51712", relative to the backend's domain.
    std::string backend_path() const;
    /// "5/51712": a frontend has one device of a number, whatever the kind of its backend.
    std::string name() const { return std::to_string(domain) + '/' + std::to_string(device); }
    /// "5-51712": for a file's name.
    std::string file_name() const { return std::to_string(domain) + '-' + std::to_string(device); }

    friend auto operator<=>(const VbdAddress&, const VbdAddress&) = default;
};

/// A path in a backend directory: its VBD, and the rest ("state", "tapdisk/owner", "" for the directory itself).
struct BackendNode {
    VbdAddress vbd;
    std::string below;
};
/// nullopt for anything but "backend/vbd/D/V..." and "backend/vbd3/D/V..." with numbers in their shortest form.
std::optional<BackendNode> parse_backend_path(std::string_view path);

/// Whether a disk is read-only by the node `mode` of its backend directory, which alone decides. A disk without a known
/// mode is read-only.
bool is_read_only_mode(const std::optional<std::string>& mode);

}  // namespace blktap::ipc
