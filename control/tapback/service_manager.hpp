// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Notifies the service manager that the daemon is ready (systemd's notification protocol: a datagram to the socket in
// the environment variable NOTIFY_SOCKET), so that domains are started only when their disks can be attached.
//
// Tested by tests/unit/tapback/service_manager_test.cpp.
#pragma once

namespace blktap::tapback {

/// Sends "READY=1", and removes NOTIFY_SOCKET from the environment, so that no child inherits it. Without a service
/// manager it does nothing; a failure to send is logged. Call before threads start.
void notify_ready() noexcept;

}  // namespace blktap::tapback
