// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The nodes through which a guest's block driver and a backend connect (Xen's public header io/blkif.h), as a guest
// reads and writes them. xenstore_connection.hpp has the order of the states.
//
// Tested by tests/unit/replay/xenstore_nodes_test.cpp.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "libblktap/ipc/messages.hpp"
#include "libblktap/xenstore/xen_store.hpp"

namespace blktap::replay {

/// The states of io/xenbus.h. `none`: no such node, or no number.
enum class XenbusState : unsigned {
    none = 0,
    initialising = 1,
    init_wait = 2,
    initialised = 3,
    connected = 4,
    closing = 5,
    closed = 6,
};
XenbusState read_state(const StoreNodes& store, const std::string& directory);

/// Who serves a frontend, from the frontend's own directory.
struct BackendPlace {
    std::string path;
    std::uint16_t domain = 0;
};
/// Errors: throws std::runtime_error naming the node that is missing or no number.
BackendPlace read_backend_place(const StoreNodes& store, const std::string& frontend);

/// What a backend offers before it is connected to. A node that is missing means the least, as the protocol says.
struct BackendOffers {
    unsigned queues_max = 1;
    unsigned ring_order_max = 0;
};
BackendOffers read_offers(const StoreNodes& store, const std::string& backend);

/// What is not as an ordinary frontend writes it.
struct OddNodes {
    bool omit_protocol = false;
    std::vector<std::pair<std::string, std::string>> nodes{};  ///< written last: names below the frontend, values
};
/// Writes the rings as Linux does: the short names for a single queue and a single page. Rings of before are removed.
void write_rings(const StoreNodes& store, const std::string& frontend, const ipc::ConnectArguments& rings,
                 const OddNodes& odd);

/// The disk, as a connected backend describes it.
/// Errors: throws Failure for what a guest's driver cannot do without.
ipc::DeviceDescription read_device(const StoreNodes& store, const std::string& backend);

}  // namespace blktap::replay
