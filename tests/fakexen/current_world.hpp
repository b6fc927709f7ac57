// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Which world, and which domain of it, a call of the C libraries is about.
#pragma once

#include "tests/fakexen/shared_world.hpp"

namespace fakexen {

/// The world of this process: the test's World, or else the one that FAKEXEN names, entered at the first call.
/// Errors: throws std::system_error; ENOENT when there is neither, as on a machine without Xen.
SharedWorld& current_world();
/// nullptr: the test's world ends.
void set_current_world(SharedWorld* world) noexcept;

/// The domain whose handles this thread opens: of the innermost ActAs, else FAKEXEN_DOMAIN, else 0.
DomainId current_domain() noexcept;
/// Returns what was set before, for the next call to restore. Negative: nothing is set.
int act_as(int domain) noexcept;

}  // namespace fakexen
