// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ProgressLine: how far long work has come, on standard error if that is a terminal, and nowhere else.
#pragma once

#include <chrono>
#include <cstdint>

namespace blktap::tap_ctl {

class ProgressLine {
  public:
    /// `verb` outlives this. Work of less than a second is not told of.
    explicit ProgressLine(const char* verb) noexcept;
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;
    ~ProgressLine() { clear(); }

    /// Some times a second at most is something written; may be called for every little step.
    void tell(std::uint64_t done, std::uint64_t all) noexcept;
    /// The work is over: the line is empty.
    void clear() noexcept;

  private:
    const char* verb_;
    bool terminal_;
    bool shown_ = false;
    std::chrono::steady_clock::time_point next_;
};

}  // namespace blktap::tap_ctl
