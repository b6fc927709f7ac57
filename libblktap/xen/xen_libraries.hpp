// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Includes libxengnttab and libxenevtchn with C linkage, which their headers do not declare.
#pragma once

extern "C" {
#include <xenevtchn.h>
#include <xengnttab.h>
}
