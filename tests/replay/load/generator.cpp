// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A block in use is stepped over: the next free one is taken instead.
#include "tests/replay/load/generator.hpp"

#include <algorithm>

namespace blktap::replay {

Generator::Generator(const GeneratorOptions& options, std::uint64_t block_count)
    : options_(options),
      block_count_(block_count),
      random_(options.seed),
      in_use_(options.exclusive ? block_count : 0) {}

std::optional<std::uint64_t> Generator::choose_block() noexcept {
    const bool random = options_.pattern == GeneratorOptions::Pattern::random;
    std::uint64_t block = random ? random_.below(block_count_) : cursor_;
    if (options_.exclusive) {
        // At most as many steps as requests are in flight.
        std::uint64_t steps = 0;
        while (in_use_[block]) {
            if (++steps == block_count_) return std::nullopt;
            block = (block + 1) % block_count_;
        }
        in_use_[block] = true;
    }
    cursor_ = (block + 1) % block_count_;
    return block;
}

std::optional<Generator::Choice> Generator::next() noexcept {
    if (stopped_) return std::nullopt;
    if (options_.flush_every != 0 && writes_since_flush_ >= options_.flush_every) {
        writes_since_flush_ = 0;
        return Choice{ring::Operation::flush_diskcache, 0};
    }
    if (finished()) return std::nullopt;
    const auto block = choose_block();
    if (!block) return std::nullopt;
    ++made_;
    const bool read = options_.read_percent == 100 || random_.below(100) < options_.read_percent;
    if (!read) ++writes_since_flush_;
    return Choice{read ? ring::Operation::read : ring::Operation::write, *block};
}

void Generator::done(const Choice& choice) noexcept {
    if (options_.exclusive && choice.operation != ring::Operation::flush_diskcache) in_use_[choice.block] = false;
}

}  // namespace blktap::replay
