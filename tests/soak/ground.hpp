// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Ground: what all disks of a soak share.
#pragma once

#include <atomic>

#include "tests/soak/action.hpp"
#include "tests/soak/findings.hpp"
#include "tests/soak/host/storage.hpp"
#include "tests/soak/host/tap_ctl.hpp"
#include "tests/soak/host/tapback_calls.hpp"

namespace blktap::soak {

struct Ground {
    const control_test::ControlHost& host;
    TapbackCalls tapback;
    TapCtl tap_ctl;
    Storage& storage;
    const Actions& actions;
    Findings& findings;
    Tally& tally;
    std::atomic<bool> over = false;  ///< everything is to come to its end
};

}  // namespace blktap::soak
