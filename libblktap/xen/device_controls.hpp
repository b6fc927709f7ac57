// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The numbers of the ioctls that Xen's libraries make for a backend, for a filter of system calls that allows no
// others.
//
// Tested by tests/control/sandbox/sandbox_test.cpp and on real Xen: tests/xen/scenarios.
#pragma once

#include <span>

namespace blktap::xen {

/// Binding to channels that others offer, and their events; mapping, unmapping and copying what is granted.
std::span<const unsigned long> device_controls() noexcept;

}  // namespace blktap::xen
