// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Nodes that a block backend writes into its directory: offers before InitWait, features before Connected; and the
// nodes of both ends of a disk that no toolstack made. Source of the names: Xen's public/io/blkif.h.
//
// Tested by tests/control.
#pragma once

#include <string>

#include "control/tapback/xenbus/xenbus_machine.hpp"
#include "libblktap/ipc/tapback_messages.hpp"
#include "libblktap/xenstore/xen_store.hpp"

namespace blktap::tapback {

/// The node of a backend directory that names the VBD's owner, and the value for tapback.
inline constexpr const char* owner_node = "tapdisk/owner";
inline constexpr const char* owner_name = "tapback";
/// The node of a backend directory with its mark (backend_directory.hpp).
inline constexpr const char* life_node = "tapdisk/life";

/// Writes the limits of rings and requests for the frontend.
void write_offers(const StoreNodes& nodes, const std::string& backend);
/// Writes the properties and features of the disk.
void write_features(const StoreNodes& nodes, const std::string& backend, const ipc::DeviceDescription& device);
void write_state(const StoreNodes& nodes, const std::string& backend, Xenbus state);

/// Returns a mark that no other directory has.
std::string new_life();
/// Marks an existing directory, unless it is marked. Returns its mark.
std::string mark_directory(const StoreNodes& nodes, const std::string& backend);
/// Writes tapback's claim and a mark into the disk's directory, unless they are there. Returns the mark. Errors: throws
/// std::system_error: ENOENT (no such directory), EBUSY (another backend's claim), xenstored's.
std::string write_claim(const XenStore& store, const ipc::VbdAddress& vbd);
/// For a disk that is not served: enters Closed if its toolstack waits for that.
void close_when_asked(const XenStore& store, const ipc::VbdAddress& vbd);

/// Returns the frontend's directory, "/local/domain/5/device/vbd/51712".
std::string frontend_path(const ipc::VbdAddress& vbd);
/// Makes both ends of a disk, as a toolstack does; the guest's driver then notices it. The backend's directory gets the
/// mark `life`. Errors: throws std::system_error: EEXIST (the domain has that device), xenstored's.
void make_nodes(const XenStore& store, const ipc::VbdAddress& vbd, const std::string& life, bool read_only);
/// Removes both ends if make_nodes() made them.
void remove_nodes(const XenStore& store, const ipc::VbdAddress& vbd, const std::string& life);

}  // namespace blktap::tapback
