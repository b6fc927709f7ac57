// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ProgressLine: shows the progress of long work on standard error, if that is a terminal.
#pragma once

#include <chrono>
#include <cstdint>

namespace blktap::tap_ctl {

class ProgressLine {
  public:
    /// `verb` outlives this. Work of less than a second shows nothing.
    explicit ProgressLine(const char* verb) noexcept;
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;
    ~ProgressLine() { clear(); }

    /// Writes the progress a few times a second at most; may be called after every small step.
    void tell(std::uint64_t done, std::uint64_t all) noexcept;
    /// Empties the line; call it when the work is done.
    void clear() noexcept;

  private:
    const char* verb_;
    bool terminal_;
    bool shown_ = false;
    std::chrono::steady_clock::time_point next_;
};

}  // namespace blktap::tap_ctl
