// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RangeGuard, against a model that compares every claim with every other: the same waits, the same grants. And its
// bound on the cost of a claim, whatever the ranges: the steps of the worst mixes are counted with the most claims that
// a guest can have, 16 rings of 512 slots.
#include <algorithm>
#include <bit>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "tapdisk/disk/range_guard.hpp"
#include "tests/support/catch.hpp"

using blktap::RangeGuard;
using blktap::SectorRange;
using Mode = RangeGuard::Mode;

namespace {

constexpr auto nobody = [](RangeGuard::Claim&) {};

/// The contract, word for word, whatever it costs.
class Model {
  public:
    enum class State { holds, first_line, second_line };
    struct Entry {
        std::size_t id;
        SectorRange range;
        Mode mode;
        State state;
    };

    void acquire(std::size_t id, SectorRange range, Mode mode) {
        entries_.push_back({id, range, mode, State::first_line});
        settle();
    }
    void order(std::size_t id) {
        Entry& entry = *find(id);
        if (entry.mode == Mode::shared_write) entry.mode = Mode::ordered_write;
    }
    void release(std::size_t id) {
        entries_.erase(find(id));
        settle();
    }
    bool waits(std::size_t id) { return find(id)->state != State::holds; }

  private:
    std::vector<Entry>::iterator find(std::size_t id) { return std::ranges::find(entries_, id, &Entry::id); }
    static bool writes(Mode mode) { return mode == Mode::shared_write || mode == Mode::ordered_write; }

    bool passes_first(std::size_t index) const {
        const Entry& mine = entries_[index];
        for (std::size_t i = 0; i < entries_.size(); ++i) {
            const Entry& other = entries_[i];
            if (i == index || !other.range.overlaps(mine.range)) continue;
            if (other.state == State::first_line && i < index) return false;
            const bool conflict = mine.mode == Mode::exclusive || other.mode == Mode::exclusive;
            if (other.state != State::first_line && conflict) return false;
        }
        return true;
    }
    bool passes_second(const Entry& mine) const {
        for (const std::size_t id : second_line_) {
            if (id == mine.id) break;
            const auto other = std::ranges::find(entries_, id, &Entry::id);
            if (other->range.overlaps(mine.range)) return false;
        }
        return std::ranges::none_of(entries_, [&](const Entry& other) {
            return other.state == State::holds && other.mode == Mode::ordered_write && other.range.overlaps(mine.range);
        });
    }
    void settle() {
        std::erase_if(second_line_, [this](std::size_t id) { return find(id) == entries_.end(); });
        for (bool any = true; std::exchange(any, false);) {
            for (std::size_t i = 0; i < entries_.size(); ++i) {
                Entry& entry = entries_[i];
                if (entry.state == State::first_line && passes_first(i)) {
                    any = true;
                    entry.state = writes(entry.mode) ? State::second_line : State::holds;
                    if (writes(entry.mode)) second_line_.push_back(entry.id);
                }
                if (entry.state == State::second_line && passes_second(entry)) {
                    any = true;
                    entry.state = State::holds;
                    std::erase(second_line_, entry.id);
                }
            }
        }
    }

    std::vector<Entry> entries_;            ///< in order of arrival
    std::vector<std::size_t> second_line_;  ///< in order of entering it
};

/// Everything a guest can have under way, and the steps it took.
struct Load {
    static constexpr std::size_t claims_max = 16 * 512;

    explicit Load(std::size_t count) : claims(count) {}
    ~Load() { guard.clear(); }

    RangeGuard::Claim& claim(SectorRange range, Mode mode) {
        guard.acquire(claims[used], range, mode);
        return claims[used++];
    }
    /// Ends what holds, again and again, in one order or the other or at random.
    void end_all(int order) {
        std::mt19937 random(1);
        std::vector<RangeGuard::Claim*> holding;
        for (std::size_t i = 0; i < used; ++i) {
            if (!claims[i].waiting) holding.push_back(&claims[i]);
        }
        if (order < 0) std::ranges::reverse(holding);
        if (order == 0) std::ranges::shuffle(holding, random);
        while (!holding.empty()) {
            std::vector<RangeGuard::Claim*> next;
            for (RangeGuard::Claim* each : holding)
                guard.release(*each, [&](RangeGuard::Claim& granted) { next.push_back(&granted); });
            if (order < 0) std::ranges::reverse(next);
            if (order == 0) std::ranges::shuffle(next, random);
            holding = std::move(next);
        }
    }
    double steps_for_each() const { return static_cast<double>(guard.steps()) / static_cast<double>(used); }

    RangeGuard guard;
    std::vector<RangeGuard::Claim> claims;
    std::size_t used = 0;
};

using Mix = void (*)(Load&);

void a_discard_keeps_reads_over_discards(Load& load) {
    load.claim({0, 1 << 20}, Mode::exclusive);
    for (std::size_t i = 0; i < 1500; ++i)
        load.claim({i * 8, 1}, Mode::exclusive);
    while (load.used < load.claims.size())
        load.claim({0, 1500 * 8}, Mode::shared);
}

void discards_under_reads(Load& load) {
    const std::size_t half = load.claims.size() / 2;
    for (std::size_t i = 0; i < half; ++i)
        load.claim({i, 2 * half}, Mode::shared);
    for (std::size_t i = 0; load.used < load.claims.size(); ++i)
        load.claim({half + i, 1}, Mode::exclusive);
}

void reads_over_discards(Load& load) {
    const std::size_t half = load.claims.size() / 2;
    for (std::size_t i = 0; i < half; ++i)
        load.claim({i * 8, 1}, Mode::exclusive);
    for (std::size_t i = 0; load.used < load.claims.size(); ++i)
        load.claim({i * 8, 8 * half}, Mode::shared);
}

void reads_and_discards_by_turns(Load& load) {
    for (std::size_t i = 0; load.used + 1 < load.claims.size(); ++i) {
        load.claim({i, load.claims.size()}, Mode::shared);
        load.claim({load.claims.size() - i, 1 + i % 3}, Mode::exclusive);
    }
}

void stairs_of_discards(Load& load) {
    for (std::size_t i = 0; load.used < load.claims.size(); ++i)
        load.claim({i, load.claims.size()}, Mode::exclusive);
}

void nested_discards(Load& load) {
    const std::size_t count = load.claims.size();
    for (std::size_t i = 0; load.used < count; ++i)
        load.claim({i, 2 * (count - i)}, i % 2 == 0 ? Mode::exclusive : Mode::shared);
}

void writes_behind_parked_writes(Load& load) {
    const std::size_t half = load.claims.size() / 2;
    for (std::size_t i = 0; i < half; ++i)
        load.claim({i, 2 * half}, Mode::shared_write);
    for (std::size_t i = 0; i < half; ++i)
        load.guard.order(load.claims[i]);
    for (std::size_t i = 0; load.used < load.claims.size(); ++i)
        load.claim({half + i, 1 + i % 2}, i % 3 == 0 ? Mode::ordered_write : Mode::shared_write);
}

void random_ranges(Load& load) {
    std::mt19937 random(3);
    while (load.used < load.claims.size())
        load.claim({random() % 100'000, 1 + random() % 10'000}, Mode{static_cast<std::uint8_t>(random() % 4)});
}

}  // namespace

TEST_CASE("range guard: random claims wait and are granted exactly as the contract says", "[unit][property][tapdisk]") {
    const unsigned seed = GENERATE(range(0u, 40u));
    std::mt19937 random(seed);
    const std::uint64_t disk = seed % 2 == 0 ? 40 : 400;
    RangeGuard guard;
    Model model;
    std::vector<RangeGuard::Claim> claims(seed % 4 < 2 ? 12 : 40);
    for (int step = 0; step < 600; ++step) {
        const std::size_t id = random() % claims.size();
        RangeGuard::Claim& claim = claims[id];
        if (!claim.is_linked()) {
            const SectorRange range{random() % disk, 1 + random() % (disk / 4)};
            const auto mode = Mode{static_cast<std::uint8_t>(random() % 4)};
            const bool holds = guard.acquire(claim, range, mode);
            model.acquire(id, range, mode);
            REQUIRE(holds != claim.waiting);
        } else if (!claim.waiting && random() % 4 == 0) {
            guard.order(claim);
            model.order(id);
        } else if (!claim.waiting) {
            std::set<std::size_t> granted;
            std::set<std::size_t> waited;
            for (std::size_t i = 0; i < claims.size(); ++i) {
                if (claims[i].is_linked() && claims[i].waiting) waited.insert(i);
            }
            guard.release(claim, [&](RangeGuard::Claim& next) {
                granted.insert(static_cast<std::size_t>(&next - claims.data()));
            });
            model.release(id);
            std::erase_if(waited, [&](std::size_t i) { return model.waits(i); });
            REQUIRE(granted == waited);
        }
        for (std::size_t i = 0; i < claims.size(); ++i) {
            if (claims[i].is_linked()) REQUIRE(claims[i].waiting == model.waits(i));
        }
    }
    // Releasing whatever is held, again and again, ends with nothing left.
    for (std::size_t round = 0; round < claims.size() && !guard.empty(); ++round) {
        for (auto& claim : claims) {
            if (claim.is_linked() && !claim.waiting) guard.release(claim, nobody);
        }
    }
    CHECK(guard.empty());
}

TEST_CASE("range guard: no mix of claims costs more than a few times the logarithm of their number each",
          "[unit][tapdisk]") {
    const auto [name, mix] = GENERATE(table<const char*, Mix>({
        {"a discard keeps reads over discards waiting", a_discard_keeps_reads_over_discards},
        {"discards under reads", discards_under_reads},
        {"reads over discards", reads_over_discards},
        {"reads and discards by turns", reads_and_discards_by_turns},
        {"stairs of discards", stairs_of_discards},
        {"nested discards", nested_discards},
        {"writes behind parked writes", writes_behind_parked_writes},
        {"random ranges", random_ranges},
    }));
    const int order = GENERATE(1, -1, 0);
    Load load(Load::claims_max);
    mix(load);
    load.end_all(order);
    INFO(name << ", order " << order);
    CHECK(load.guard.empty());
    // A handful of visits of trees, each of two or three times 13 nodes.
    CHECK(load.steps_for_each() < 15 * std::bit_width(Load::claims_max));
}

TEST_CASE("range guard: a discard that comes and goes does not look at the reads under way again", "[unit][tapdisk]") {
    Load load(Load::claims_max);
    while (load.used + 1 < load.claims.size())
        load.claim({load.used, 8}, Mode::shared);
    RangeGuard::Claim& discard = load.claims[load.used];
    REQUIRE(load.guard.acquire(discard, {1 << 20, 8}, Mode::exclusive));
    load.guard.release(discard, nobody);
    const std::uint64_t before = load.guard.steps();
    for (int i = 0; i < 1000; ++i) {
        REQUIRE(load.guard.acquire(discard, {1 << 20, 8}, Mode::exclusive));
        load.guard.release(discard, nobody);
    }
    CHECK(load.guard.steps() - before < 1000 * 200);
}

TEST_CASE("range guard: while nobody wants a range alone, claims cost no step", "[unit][tapdisk]") {
    Load load(Load::claims_max);
    while (load.used < load.claims.size())
        load.claim({load.used % 100, 8}, load.used % 2 == 0 ? Mode::shared : Mode::shared_write);
    load.end_all(1);
    CHECK(load.guard.empty());
    CHECK(load.guard.steps() == 0);
}
