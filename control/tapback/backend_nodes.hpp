// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What a block backend writes into its directory: offers before InitWait, features before Connected; and the nodes of
// both ends of a disk that no toolstack made. Source of the names: Xen's public/io/blkif.h.
//
// Tested by tests/control.
#pragma once

#include <string>

#include "control/tapback/xenbus_machine.hpp"
#include "libblktap/ipc/tapback_messages.hpp"
#include "libblktap/xenstore/xen_store.hpp"

namespace blktap::tapback {

/// In a backend directory: whose the VBD is, and the value for: ours.
inline constexpr const char* owner_node = "tapdisk/owner";
inline constexpr const char* owner_name = "tapback";
/// In a backend directory: its mark (backend_directory.hpp).
inline constexpr const char* life_node = "tapdisk/life";

/// What a frontend may ask of rings and requests.
void write_offers(const StoreNodes& nodes, const std::string& backend);
/// What the disk is, and can do.
void write_features(const StoreNodes& nodes, const std::string& backend, const ipc::DeviceDescription& device);
void write_state(const StoreNodes& nodes, const std::string& backend, Xenbus state);

/// A mark that no other directory has.
std::string new_life();
/// Marks a directory that is there, unless it is marked. Returns its mark.
std::string mark_directory(const StoreNodes& nodes, const std::string& backend);
/// Writes our claim and a mark into the disk's directory, unless they are there. Returns the mark. Errors: throws
/// std::system_error: ENOENT (no such directory), EBUSY (another's claim), xenstored's.
std::string write_claim(const XenStore& store, const ipc::VbdAddress& vbd);
/// Of a disk that nobody serves: enters Closed where its toolstack waits for that.
void close_when_asked(const XenStore& store, const ipc::VbdAddress& vbd);

/// "/local/domain/5/device/vbd/51712"
std::string frontend_path(const ipc::VbdAddress& vbd);
/// Makes both ends of a disk, as a toolstack does: the guest's driver starts to look at it. The backend's directory has
/// the mark `life`. Errors: throws std::system_error: EEXIST (the domain has that device), xenstored's.
void make_nodes(const XenStore& store, const ipc::VbdAddress& vbd, const std::string& life, bool read_only);
/// Removes both ends, where they are still those that make_nodes() made.
void remove_nodes(const XenStore& store, const ipc::VbdAddress& vbd, const std::string& life);

}  // namespace blktap::tapback
