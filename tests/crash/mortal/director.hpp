// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Director: decides what each tapdisk of a scene dies of: at a named store, some time after its start, or killed from
// outside. From a seed.
#pragma once

#include <string>

#include "tests/crash/mortal/mortal_tapdisk.hpp"
#include "tests/replay/load/random.hpp"

namespace blktap::testing {

class Director {
  public:
    Director(std::uint64_t seed, unsigned queue_count, unsigned deaths_max)
        : random_(seed), queue_count_(queue_count), deaths_left_(deaths_max) {}

    /// For MortalTapdisk::Options.
    Fate next(const std::string& died_at);
    /// The rings are connected: until then tapdisks may die of connecting them.
    void connected() noexcept { connected_ = true; }
    /// The one that serves now lives.
    bool over() const noexcept { return deaths_left_ == 0; }
    replay::Random& random() noexcept { return random_; }

  private:
    Fate choose(const std::string& died_at);
    Fate at_store(mortal::NamedStore::Part part, std::uint64_t passages_max);

    replay::Random random_;
    const unsigned queue_count_;
    unsigned deaths_left_;
    bool first_ = true;
    bool connected_ = false;
};

}  // namespace blktap::testing
