// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The type that libxengnttab's headers leave open, for both of its sides.
#pragma once

#include "tests/fakexen/grants.hpp"

struct xengntdev_handle : fakexen::GrantHandle {
    using GrantHandle::GrantHandle;
};
