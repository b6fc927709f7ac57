// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Generator: chooses the place and the kind (read, write or flush) of the requests of a generated load. The disk is cut
// into blocks of the request's size. With `exclusive` no two requests in flight are for one block, so that the expected
// data of a read is definite.
//
// Tested by tests/unit/replay/generator_test.cpp.
#pragma once

#include <optional>
#include <vector>

#include "libblktap/ring/wire.hpp"
#include "tests/replay/load/random.hpp"

namespace blktap::replay {

struct GeneratorOptions {
    enum class Pattern : std::uint8_t { random, sequential };
    Pattern pattern = Pattern::random;
    unsigned read_percent = 100;     ///< of the reads and writes
    std::uint64_t flush_every = 0;   ///< writes; 0: never
    std::uint64_t requests_max = 0;  ///< reads and writes; 0: no limit
    bool exclusive = false;
    std::uint64_t seed = 1;
};

class Generator {
  public:
    struct Choice {
        ring::Operation operation;
        std::uint64_t block;  ///< meaningless for a flush
    };
    /// `block_count` is at least 1.
    Generator(const GeneratorOptions& options, std::uint64_t block_count);

    /// The next request; nullopt when finished() or, with `exclusive`, when every block is in use.
    std::optional<Choice> next() noexcept;
    /// The request is answered: its block is free again.
    void done(const Choice& choice) noexcept;
    bool finished() const noexcept {
        return stopped_ || (options_.requests_max != 0 && made_ >= options_.requests_max);
    }
    void stop() noexcept { stopped_ = true; }

  private:
    std::optional<std::uint64_t> choose_block() noexcept;

    const GeneratorOptions options_;
    const std::uint64_t block_count_;
    Random random_;
    std::uint64_t cursor_ = 0;  ///< sequential: the next block
    std::uint64_t made_ = 0;
    std::uint64_t writes_since_flush_ = 0;
    std::vector<bool> in_use_;  ///< by block; empty without `exclusive`
    bool stopped_ = false;
};

}  // namespace blktap::replay
