// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Deaths: what the tapdisks of a run died of, and when, by the notes that they left.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "libblktap/base/clock.hpp"

namespace blktap::testing {

class Deaths {
  public:
    /// `notes_path`: the file of the notes, which is empty.
    explicit Deaths(std::string notes_path) : notes_path_(std::move(notes_path)) {}

    const std::string& notes_path() const noexcept { return notes_path_; }
    /// One is killed from outside, unless it dies by itself before that.
    void killed(Nanoseconds when) noexcept { killed_at_ = when; }
    /// One has died.
    void add(bool paused);

    /// By the store at which they died; "": killed from outside, "time": some time after the start.
    const std::map<std::string, unsigned>& by_cause() const noexcept { return by_cause_; }
    unsigned count() const noexcept { return count_; }
    /// The store at which the last one died; empty: it died elsewhere.
    const std::string& last_store() const noexcept { return last_store_; }
    /// For each answer: how long after the last death it came, if it is the first one since.
    std::optional<Nanoseconds> take_gap(const Clock& clock) noexcept;
    /// All of them in order, for a test that failed.
    const std::string& history() const noexcept { return history_; }

  private:
    const std::string notes_path_;
    std::size_t notes_read_ = 0;
    Nanoseconds killed_at_{0};
    std::map<std::string, unsigned> by_cause_{};
    unsigned count_ = 0;
    std::string last_store_{};
    std::optional<Nanoseconds> last_{};
    std::string history_{};
};

}  // namespace blktap::testing
