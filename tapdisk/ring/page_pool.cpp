// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/ring/page_pool.hpp"

#include <bit>

#include "libblktap/base/assert.hpp"

namespace blktap {

PagePool::PagePool() : memory_(Mapping::anonymous(page_count * page_size_bytes)) {
    free_.fill(~std::uint64_t{0});
}

std::size_t PagePool::take(std::size_t pages, std::span<PageRun> runs) noexcept {
    BLKTAP_ASSERT(pages > 0 && runs.size() >= pages);
    if (pages > free_pages_) return 0;
    free_pages_ -= pages;
    std::size_t run_count = 0;
    for (std::size_t word = 0; pages > 0; ++word) {
        while (free_[word] != 0 && pages > 0) {
            const auto start = static_cast<unsigned>(std::countr_zero(free_[word]));
            const auto available = static_cast<std::size_t>(std::countr_one(free_[word] >> start));
            const std::size_t taken = available < pages ? available : pages;
            const std::uint64_t mask = (taken == bits ? ~std::uint64_t{0} : (std::uint64_t{1} << taken) - 1) << start;
            free_[word] &= ~mask;
            pages -= taken;
            const auto first = static_cast<std::uint16_t>(word * bits + start);
            const auto count = static_cast<std::uint16_t>(taken);
            if (run_count > 0 && runs[run_count - 1].first + runs[run_count - 1].count == first) {
                runs[run_count - 1].count = static_cast<std::uint16_t>(runs[run_count - 1].count + count);
            } else {
                runs[run_count++] = {first, count};
            }
        }
    }
    return run_count;
}

void PagePool::give_back(std::span<const PageRun> runs) noexcept {
    for (const PageRun run : runs) {
        for (std::size_t page = run.first; page < std::size_t{run.first} + run.count; ++page) {
            const std::uint64_t bit = std::uint64_t{1} << (page % bits);
            BLKTAP_ASSERT((free_[page / bits] & bit) == 0);
            free_[page / bits] |= bit;
        }
        free_pages_ += run.count;
    }
}

}  // namespace blktap
