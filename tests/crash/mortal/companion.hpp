// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Companion: a second connection to the disk of a mortal tapdisk, local, with load on a thread of its own until
// finish().
#pragma once

#include <atomic>
#include <exception>
#include <thread>

#include "tests/crash/mortal/mortal_tapdisk.hpp"
#include "tests/replay/load/mixed_traffic.hpp"
#include "tests/replay/load/pump.hpp"

namespace blktap::testing {

class Companion {
  public:
    /// `range`: nobody else uses it. All references outlive this. Errors: as replay::Session.
    Companion(MortalTapdisk& tapdisk, replay::FrontendOptions rings, const replay::PumpOptions& options,
              SectorRange range, std::uint64_t seed);
    Companion(const Companion&) = delete;
    Companion& operator=(const Companion&) = delete;
    ~Companion();

    /// Ends the load; all of it is answered then. Errors: throws what the load found.
    void finish();
    const replay::DiskModel& model() const noexcept { return model_; }

  private:
    void run(const replay::PumpOptions& options);

    MortalTapdisk& tapdisk_;
    MortalTapdisk::Link& link_;
    replay::Session session_;
    replay::DiskModel model_;
    replay::MixedTraffic load_;
    std::atomic<bool> stop_ = false;
    std::exception_ptr found_;
    std::thread thread_;
};

}  // namespace blktap::testing
