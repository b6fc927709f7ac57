// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Findings: what is wrong, said at once with what it takes to try it again. The first one ends the soak.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>

namespace blktap::soak {

/// The last things that were done to one disk, in their order, with their times.
class Diary {
  public:
    void note(const std::string& text);
    /// A line each.
    std::string last() const;

  private:
    static constexpr std::size_t entries_max = 24;
    mutable std::mutex mutex_{};
    struct Entry {
        std::string time;
        std::string text;
        unsigned times;  ///< in a row
    };
    std::deque<Entry> entries_{};
};

/// Context: any thread.
class Findings {
  public:
    explicit Findings(std::uint64_t seed) noexcept : seed_(seed) {}
    void add(const std::string& subject, const std::string& what, const Diary& diary);
    unsigned count() const noexcept { return count_; }

  private:
    const std::uint64_t seed_;
    std::mutex mutex_{};
    std::atomic<unsigned> count_ = 0;
};

}  // namespace blktap::soak
