// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// libxengnttab and libxenevtchn for C++: their headers do not say by themselves that they are C.
#pragma once

extern "C" {
#include <xenevtchn.h>
#include <xengnttab.h>
}
