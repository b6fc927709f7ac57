// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RangeQueue: a line of ranges. Each range waits until all earlier ranges that overlap it have left the line, and, if
// it heeds holders, until no holder overlaps it. RangeGuard builds its rules from two such lines.
//
// A guest chooses which ranges overlap, and n ranges can overlap in n^2 pairs, so pairs are never compared one by one:
//   - Line: ranges lie on the disk in layers, the latest on top. At each sector only the topmost range is visible. A
//   new
//     range covers visible pieces of earlier ranges and waits for these; they wait for the pieces that they cover. A
//     new range adds at most three pieces: its own, and one where it splits a piece at each of its ends. A piece is
//     covered once and removed once.
//   - Holders: the number of holders that overlap a range is the number that begin before its end minus the number that
//     end at or before its beginning: two counts in two trees.
//   - Front: ranges that wait only for holders are disjoint, since of two that overlap the later waits for the earlier.
//     So the ranges that one holder overlaps are neighbours in a tree, and one subtraction updates all of them.
// Entering, leaving, holding and letting go cost a range O(log n) steps in total (expected: Treap). Memory belongs to
// the callers: nothing is allocated.
//
// Tested by tests/unit/tapdisk/disk/range_guard_test.cpp.
#pragma once

#include <cstdint>

#include <boost/intrusive/set.hpp>

#include "libblktap/base/units.hpp"
#include "tapdisk/disk/treap.hpp"

namespace blktap {

class RangeQueue {
  public:
    struct Place;

    /// The first sector, or the end, of a held range; a node of a tree that counts the nodes below each node.
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
    /// Embedded in an object that holds a range.
    struct Holder {
        Bound begin{};
        Bound end{};
        bool holds = false;
    };

    /// Embedded in an object whose range stands in the line. Must not move meanwhile.
    struct Place {
        SectorRange range{};

      private:
        friend class RangeQueue;
        /// A part of a range in the line: visible, or covered by a later range that waits for it.
        struct Piece : boost::intrusive::set_base_hook<boost::intrusive::optimize_size<true>> {
            SectorRange range{};
            Place* owner = nullptr;
            Place* waiter = nullptr;  ///< the range that covers the piece; null: the piece is visible
            Piece* next = nullptr;    ///< the next piece of the same range

            friend bool operator<(const Piece& a, const Piece& b) noexcept { return a.range.first < b.range.first; }
        };
        struct FirstSector {
            using type = std::uint64_t;
            type operator()(const Piece& piece) const noexcept { return piece.range.first; }
        };
        /// A node in the tree of the front, with the smallest number of holders among the nodes below.
        struct Front {
            Front* left = nullptr;
            Front* right = nullptr;
            Place* place = nullptr;
            std::uint32_t priority = 0;
            std::uint32_t holders = 0;
            std::uint32_t fewest = 0;
            std::int32_t more_below = 0;  ///< change of `holders` not yet added to the nodes below

            bool before(const Front& other) const noexcept { return place->range.first < other.place->range.first; }
            void add(std::int32_t count) noexcept;
            void gather() noexcept;
            void hand_down() noexcept;
        };

        void take(Piece& piece, SectorRange part, Place* its_waiter) noexcept;

        Piece* pieces = nullptr;  ///< the list of this range's pieces
        Piece own{};
        // Memory for the pieces that this range splits off from others at its two ends. These pieces are gone before
        // this range reaches the front.
        Piece covered{};
        Piece uncovered{};
        std::uint32_t waits_for = 0;  ///< number of pieces that this range covers
        bool heeds_holders = false;
        Front front{};
        Place* next_ready = nullptr;
    };

    RangeQueue() noexcept;
    RangeQueue(const RangeQueue&) = delete;
    RangeQueue& operator=(const RangeQueue&) = delete;

    /// Enters `range` into the line. Returns true if it need not wait; otherwise take_ready() returns it later.
    bool enter(Place& place, SectorRange range, bool heeds_holders) noexcept;
    /// Removes a range that does not wait from the line.
    void leave(Place& place) noexcept;
    bool nobody_stands() const noexcept { return seen_.empty(); }
    /// Whether a range in the line overlaps `range`.
    bool stands_in(SectorRange range) noexcept;

    /// Somebody holds a part of `range`.
    bool held_in(SectorRange range) noexcept { return holders_in(range) > 0; }

    void hold(Holder& holder, SectorRange range) noexcept;
    void let_go(Holder& holder, SectorRange range) noexcept;

    /// Returns the next range that no longer waits, which is still in the line; nullptr if there is none.
    Place* take_ready() noexcept;

    /// Whether the line is empty and there is no holder.
    bool empty() const noexcept { return seen_.empty() && begins_.empty(); }
    /// Removes all ranges and holders: every Place and Holder may be used again.
    void clear() noexcept;
    /// Number of tree nodes and pieces visited so far.
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
    Pieces seen_;          ///< visible pieces, which are disjoint
    Treap<Bound> begins_;  ///< of held ranges
    Treap<Bound> ends_;    ///< of held ranges
    Treap<Front> front_;   ///< disjoint ranges that wait only for holders
    Place* first_ready_ = nullptr;
    Place* last_ready_ = nullptr;
};

}  // namespace blktap
