// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The counters of one disk, and of a connection to it, as the control protocol's "stats" shows them.
// docs/control-protocol.md names each.
#pragma once

#include "libblktap/ipc/messages.hpp"
#include "tapdisk/disk/disk.hpp"
#include "tapdisk/ring/connections.hpp"

namespace blktap {

ipc::Json disk_stats(const Disk& disk);
/// Requests that wait for the storage, and turns, are counted for the whole disk.
ipc::Json connection_stats(const Connection& connection, const Connections& all, const Disk& disk);

}  // namespace blktap
