// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RangeQueue: a line of ranges in which each waits for the earlier ones that it overlaps, and, if it wants, until
// nobody holds a part of it. RangeGuard makes its rules of two of these.
//
// What a guest sends decides who overlaps whom, and n ranges can overlap in n^2 pairs: so no pair is ever looked at for
// its own sake.
//   - Line: the disk is seen from above. At each sector only the last range that came covers what is below it; a range
//     that comes waits for the pieces that it covers, and those wait for what they cover. It brings three pieces at
//     most (its own, and what it cuts off at its two ends), and a piece is covered once and taken away once.
//   - Holders: how many hold a part of a range is the number that begin before its end less those that end before its
//     beginning: two sums in two trees.
//   - Front: ranges that wait for holders only are disjoint, since of two that overlap the later one waits for the
//     earlier. So those that one holder keeps waiting are neighbours in a tree: one subtraction for all of them.
// A range that enters, leaves, is held or is not any more costs O(log n) steps, over its whole life (expected: Treap).
// Memory is the owners': nothing is allocated.
//
// Tested by tests/unit/tapdisk/range_guard_test.cpp.
#pragma once

#include <cstdint>

#include <boost/intrusive/set.hpp>

#include "libblktap/base/units.hpp"
#include "tapdisk/disk/treap.hpp"

namespace blktap {

class RangeQueue {
  public:
    struct Place;

    /// Where one range ends or begins; sums: how many there are below.
    struct Bound {
        Bound* left = nullptr;
        Bound* right = nullptr;
        std::uint64_t sector = 0;
        std::uint32_t priority = 0;
        std::uint32_t count = 0;

        bool before(const Bound& other) const noexcept {
            return sector != other.sector ? sector < other.sector : this < &other;
        }
        void gather() noexcept { count = 1 + (left ? left->count : 0) + (right ? right->count : 0); }
        void hand_down() noexcept {}
    };
    /// Part of who holds a range.
    struct Holder {
        Bound begin{};
        Bound end{};
        bool holds = false;
    };

    /// Part of who stands in line. It stays where it is while it is there.
    struct Place {
        SectorRange range{};

      private:
        friend class RangeQueue;
        /// A part of a range in line: seen from above, or covered by the one that waits for it.
        struct Piece : boost::intrusive::set_base_hook<boost::intrusive::optimize_size<true>> {
            SectorRange range{};
            Place* owner = nullptr;
            Place* waiter = nullptr;  ///< that covers it; null: it is seen
            Piece* next = nullptr;    ///< of the same range

            friend bool operator<(const Piece& a, const Piece& b) noexcept { return a.range.first < b.range.first; }
        };
        struct FirstSector {
            using type = std::uint64_t;
            type operator()(const Piece& piece) const noexcept { return piece.range.first; }
        };
        /// In the tree of the front; sums: the fewest holders that one below waits for.
        struct Front {
            Front* left = nullptr;
            Front* right = nullptr;
            Place* place = nullptr;
            std::uint32_t priority = 0;
            std::uint32_t holders = 0;
            std::uint32_t fewest = 0;
            std::int32_t more_below = 0;  ///< for the nodes below, not yet added to them

            bool before(const Front& other) const noexcept { return place->range.first < other.place->range.first; }
            void add(std::int32_t count) noexcept;
            void gather() noexcept;
            void hand_down() noexcept;
        };

        void take(Piece& piece, SectorRange part, Place* its_waiter) noexcept;

        Piece* pieces = nullptr;  ///< of this range
        Piece own{};
        // Pieces that it cut off from others at its two ends. They are gone before this range is at the front.
        Piece covered{};
        Piece uncovered{};
        std::uint32_t waits_for = 0;  ///< pieces that it covers
        bool heeds_holders = false;
        Front front{};
        Place* next_ready = nullptr;
    };

    RangeQueue() noexcept;
    RangeQueue(const RangeQueue&) = delete;
    RangeQueue& operator=(const RangeQueue&) = delete;

    /// Stands `range` in line. True: it waits for nobody. Else take_ready() returns it one day.
    bool enter(Place& place, SectorRange range, bool heeds_holders) noexcept;
    /// A range that waits for nobody leaves the line.
    void leave(Place& place) noexcept;
    bool nobody_stands() const noexcept { return seen_.empty(); }
    /// Somebody in line overlaps `range`.
    bool stands_in(SectorRange range) noexcept;

    /// Somebody holds a part of `range`.
    bool held_in(SectorRange range) noexcept { return holders_in(range) > 0; }

    void hold(Holder& holder, SectorRange range) noexcept;
    void let_go(Holder& holder, SectorRange range) noexcept;

    /// The next that waits for nobody any more, in line still; nullptr: none.
    Place* take_ready() noexcept;

    /// Nobody is in line, and nobody holds anything.
    bool empty() const noexcept { return seen_.empty() && begins_.empty(); }
    /// Forgets all: every Place and Holder may be used anew.
    void clear() noexcept;
    /// What was looked at since the beginning: nodes of trees, and pieces.
    std::uint64_t steps() const noexcept { return steps_; }

  private:
    using Piece = Place::Piece;
    using Front = Place::Front;
    using Pieces = boost::intrusive::set<Piece, boost::intrusive::key_of_value<Place::FirstSector>,
                                         boost::intrusive::constant_time_size<false>>;

    Pieces::iterator first_seen(SectorRange range) noexcept;
    void cover(Piece& piece, Place& above) noexcept;
    bool reach_front(Place& place) noexcept;
    void add_to_front(SectorRange range, std::int32_t count) noexcept;
    void append_ready(Place& place) noexcept;
    std::uint32_t holders_in(SectorRange range) noexcept;
    std::uint32_t count_before(const Bound* tree, std::uint64_t sector) noexcept;
    std::uint32_t next_priority() noexcept;

    std::uint64_t steps_ = 0;
    std::uint64_t random_;
    Pieces seen_;          ///< the line from above: disjoint pieces
    Treap<Bound> begins_;  ///< of what is held
    Treap<Bound> ends_;    ///< of what is held
    Treap<Front> front_;   ///< disjoint ranges that wait for holders only
    Place* first_ready_ = nullptr;
    Place* last_ready_ = nullptr;
};

}  // namespace blktap
