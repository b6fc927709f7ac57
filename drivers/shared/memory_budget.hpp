// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// MemoryBudget: a limit on the memory for the tables of an image and its backing files or parents together. A header
// gives the size of its tables and cannot be trusted, and the memory of a tapdisk is locked, so the host would miss it.
// Memory is counted before it is allocated.
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

    /// Counts `bytes` that `what` of the image `name` is about to allocate. Errors: throws std::system_error,
    /// Errc::image_invalid, with a text that begins with `name`, if less is left; then nothing was counted.
    void take(std::uint64_t bytes, const std::string& name, const char* what);
    /// Returns `bytes` that are not needed any more.
    void give_back(std::uint64_t bytes) noexcept { used_ -= bytes; }

    std::uint64_t used_bytes() const noexcept { return used_; }
    /// The highest value of used_bytes() so far.
    std::uint64_t peak_bytes() const noexcept { return peak_; }

  private:
    const std::uint64_t limit_;
    std::uint64_t used_ = 0;
    std::uint64_t peak_ = 0;
};

/// A part of a budget for temporary memory, given back on destruction.
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
