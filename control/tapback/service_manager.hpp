// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What a daemon tells the service manager (systemd's notification protocol: a datagram to the socket that the
// environment variable NOTIFY_SOCKET names), so that domains are started only when their disks can be attached.
//
// Tested by tests/unit/tapback/service_manager_test.cpp.
#pragma once

namespace blktap::tapback {

/// Says once that this process is ready, and takes NOTIFY_SOCKET out of the environment: children speak for themselves.
/// Without a service manager it does nothing; a manager that cannot be told is logged. Call before threads start.
void notify_ready() noexcept;

}  // namespace blktap::tapback
