// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// MemoryBudget: how much memory the tables of an image and of all that it is over may take together. An image's header
// says how large its tables are, and may be anybody's; the memory of a tapdisk is locked, so that it would be missing
// to the whole host. What is needed is counted before it is taken.
//
// Tested by tests/unit/drivers/memory_budget_test.cpp.
#pragma once

#include <cstdint>
#include <string>

#include "libblktap/base/defaults.hpp"

namespace blktap {

class MemoryBudget {
  public:
    explicit MemoryBudget(std::uint64_t limit_bytes = default_memory_budget_bytes) noexcept : limit_(limit_bytes) {}
    MemoryBudget(const MemoryBudget&) = delete;
    MemoryBudget& operator=(const MemoryBudget&) = delete;

    /// Counts `bytes` that `what` of the image `name` is about to take. Errors: throws std::system_error,
    /// Errc::image_invalid, its text beginning with `name`: more than is left; nothing was counted.
    void take(std::uint64_t bytes, const std::string& name, const char* what);
    /// So much is not needed any more.
    void give_back(std::uint64_t bytes) noexcept { used_ -= bytes; }

    std::uint64_t used_bytes() const noexcept { return used_; }
    /// The most that used_bytes() has been.
    std::uint64_t peak_bytes() const noexcept { return peak_; }

  private:
    const std::uint64_t limit_;
    std::uint64_t used_ = 0;
    std::uint64_t peak_ = 0;
};

/// A part of a budget that is given back at its end: of what is needed for a while.
class BorrowedMemory {
  public:
    BorrowedMemory(MemoryBudget& budget, std::uint64_t bytes, const std::string& name, const char* what)
        : budget_(budget), bytes_(bytes) {
        budget.take(bytes, name, what);
    }
    BorrowedMemory(const BorrowedMemory&) = delete;
    BorrowedMemory& operator=(const BorrowedMemory&) = delete;
    ~BorrowedMemory() { budget_.give_back(bytes_); }

  private:
    MemoryBudget& budget_;
    const std::uint64_t bytes_;
};

}  // namespace blktap
