// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// How a port becomes pending; for channels.cpp and channels.cpp only.
#pragma once

#include "tests/fakexen/shared_world.hpp"

namespace fakexen {

/// Makes `port` pending and, unless it was pending or is masked, wakes its handle.
void raise(SharedWorld& world, Port port) noexcept;
/// Sends the number of `port` to the socket of its handle.
void ring_bell(SharedWorld& world, Port port) noexcept;

}  // namespace fakexen
