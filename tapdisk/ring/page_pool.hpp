// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// PagePool: the page-aligned memory that guest data is copied through. Fixed in size, so that a guest's share of dom0
// memory is bounded; while it is empty no requests are taken from the rings. The lowest free pages are taken first: a
// lightly loaded disk touches few pages, and neighbours merge into one iovec.
//
// Tested by tests/unit/tapdisk/ring/page_pool_test.cpp.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "libblktap/base/mapping.hpp"
#include "libblktap/base/units.hpp"

namespace blktap {

/// `count` neighbouring pages of a pool.
struct PageRun {
    std::uint16_t first;
    std::uint16_t count;
};

class PagePool {
  public:
    /// 16 MiB: 32 requests of 128 KiB on each of four queues, or 16 of 1 MiB.
    static constexpr std::size_t page_count = 4096;

    PagePool();
    PagePool(const PagePool&) = delete;
    PagePool& operator=(const PagePool&) = delete;

    /// Takes `pages` pages and writes them as runs to `runs`, which has room for `pages` entries.
    /// Returns the number of runs, 0 if there are not enough pages.
    std::size_t take(std::size_t pages, std::span<PageRun> runs) noexcept;
    void give_back(std::span<const PageRun> runs) noexcept;

    std::span<std::byte> bytes(PageRun run) const noexcept {
        return memory_.bytes().subspan(run.first * page_size_bytes, run.count * page_size_bytes);
    }
    std::size_t free_pages() const noexcept { return free_pages_; }
    bool unused() const noexcept { return free_pages_ == page_count; }
    /// Gives the memory back to the kernel; only while unused().
    void trim() noexcept { memory_.trim(); }

  private:
    static constexpr std::size_t bits = 64;
    Mapping memory_;
    std::array<std::uint64_t, page_count / bits> free_{};  ///< a set bit is a free page
    std::size_t free_pages_ = page_count;
};

}  // namespace blktap
