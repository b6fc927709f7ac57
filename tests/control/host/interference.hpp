// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Interference: something that happens to the host in the middle of something else: after the n-th change of a part of
// xenstore. Looping n upwards until nothing happens any more interferes at every step there is.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>

namespace blktap::control_test {

class Interference {
  public:
    /// Runs `act` once, on a thread of its own, when `changes` changes at or below `path` were seen from now on.
    Interference(const std::string& path, unsigned changes, std::function<void()> act);
    Interference(const Interference&) = delete;
    Interference& operator=(const Interference&) = delete;
    /// Waits for an `act` that is under way.
    ~Interference();

    /// No `act` begins from now on. Whether it happened. Errors: throws what `act` threw.
    bool end();

  private:
    std::atomic<bool> ending_ = false;
    std::atomic<bool> happened_ = false;
    std::exception_ptr error_;
    std::thread thread_;
};

}  // namespace blktap::control_test
