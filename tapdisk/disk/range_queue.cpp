// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/disk/range_queue.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <sys/auxv.h>
#include <utility>

#include "libblktap/base/assert.hpp"

namespace blktap {
namespace {

/// Returns a seed from the random bytes that the kernel gives to each process: no system call, and unknown to guests.
std::uint64_t process_seed() noexcept {
    std::uint64_t seed = 0;
    const auto* bytes = reinterpret_cast<const void*>(::getauxval(AT_RANDOM));
    if (bytes != nullptr) std::memcpy(&seed, bytes, sizeof seed);
    return seed | 1;  // never 0, for which next_priority() would always return 0
}

}  // namespace

RangeQueue::RangeQueue() noexcept : random_(process_seed()), begins_(steps_), ends_(steps_), front_(steps_) {}

void RangeQueue::Place::Front::add(std::int32_t count) noexcept {
    // Unsigned arithmetic: adding a negative count wraps to the right result.
    holders += static_cast<std::uint32_t>(count);
    fewest += static_cast<std::uint32_t>(count);
    more_below += count;
}

void RangeQueue::Place::Front::gather() noexcept {
    fewest = holders;
    if (left != nullptr) fewest = std::min(fewest, left->fewest);
    if (right != nullptr) fewest = std::min(fewest, right->fewest);
}

void RangeQueue::Place::Front::hand_down() noexcept {
    if (more_below == 0) return;
    if (left != nullptr) left->add(more_below);
    if (right != nullptr) right->add(more_below);
    more_below = 0;
}

/// Makes `piece` a piece of this range that spans `part`.
void RangeQueue::Place::take(Piece& piece, SectorRange part, Place* its_waiter) noexcept {
    piece.range = part;
    piece.owner = this;
    piece.waiter = its_waiter;
    piece.next = std::exchange(pieces, &piece);
}

/// Returns the first visible piece that ends after the beginning of `range`; it may begin after the end of `range`.
RangeQueue::Pieces::iterator RangeQueue::first_seen(SectorRange range) noexcept {
    const auto next = seen_.upper_bound(range.first);
    if (next == seen_.begin()) return next;
    const auto before = std::prev(next);
    return before->range.end() > range.first ? before : next;
}

bool RangeQueue::stands_in(SectorRange range) noexcept {
    const auto piece = first_seen(range);
    return piece != seen_.end() && piece->range.first < range.end();
}

bool RangeQueue::enter(Place& place, SectorRange range, bool heeds_holders) noexcept {
    place.range = range;
    place.heeds_holders = heeds_holders;
    place.waits_for = 0;
    place.pieces = nullptr;
    for (auto next = first_seen(range); next != seen_.end() && next->range.first < range.end();) {
        Piece& piece = *next++;
        cover(piece, place);
    }
    place.take(place.own, range, nullptr);
    seen_.insert(place.own);
    ++steps_;
    return place.waits_for == 0 && reach_front(place);
}

/// Covers the part of `piece` that lies in the range of `above`.
void RangeQueue::cover(Piece& piece, Place& above) noexcept {
    ++steps_;
    ++above.waits_for;
    const SectorRange whole = piece.range;
    const SectorRange range = above.range;
    if (whole.end() > range.end()) {
        piece.owner->take(above.uncovered, {range.end(), whole.end() - range.end()}, nullptr);
        seen_.insert(above.uncovered);
    }
    if (whole.first < range.first) {
        piece.range.count = range.first - whole.first;  // the part that stays visible; its key in the tree is the same
        piece.owner->take(above.covered, range, &above);
    } else {
        seen_.erase(seen_.iterator_to(piece));
        piece.waiter = &above;
    }
}

void RangeQueue::leave(Place& place) noexcept {
    for (Piece* piece = std::exchange(place.pieces, nullptr); piece != nullptr; piece = piece->next) {
        ++steps_;
        if (piece->waiter == nullptr) {
            seen_.erase(seen_.iterator_to(*piece));
        } else if (--piece->waiter->waits_for == 0 && reach_front(*piece->waiter)) {
            append_ready(*piece->waiter);
        }
    }
}

/// Called when `place` waits for no range in the line. Returns true if it waits for no holder either.
bool RangeQueue::reach_front(Place& place) noexcept {
    if (!place.heeds_holders) return true;
    place.front.place = &place;
    place.front.holders = holders_in(place.range);
    if (place.front.holders == 0) return true;
    place.front.more_below = 0;
    front_.insert(place.front, next_priority());
    return false;
}

void RangeQueue::hold(Holder& holder, SectorRange range) noexcept {
    BLKTAP_ASSERT(!holder.holds);
    holder.holds = true;
    holder.begin.sector = range.first;
    holder.end.sector = range.end();
    begins_.insert(holder.begin, next_priority());
    ends_.insert(holder.end, next_priority());
    add_to_front(range, 1);
}

void RangeQueue::let_go(Holder& holder, SectorRange range) noexcept {
    BLKTAP_ASSERT(holder.holds);
    holder.holds = false;
    begins_.erase(holder.begin);
    ends_.erase(holder.end);
    add_to_front(range, -1);
}

/// Adds `count` to the holders of each range at the front that overlaps `range`. Ranges with none left leave the front.
void RangeQueue::add_to_front(SectorRange range, std::int32_t count) noexcept {
    if (front_.empty()) return;
    const auto [before, rest] =
        front_.split(front_.root, [range](const Front& node) { return node.place->range.end() <= range.first; });
    auto [inside, behind] =
        front_.split(rest, [range](const Front& node) { return node.place->range.first < range.end(); });
    if (inside != nullptr) inside->add(count);
    while (inside != nullptr && inside->fewest == 0) {
        Front* free = inside;
        for (;;) {
            ++steps_;
            free->hand_down();
            if (free->left != nullptr && free->left->fewest == 0) {
                free = free->left;
            } else if (free->holders == 0) {
                break;
            } else {
                free = free->right;
            }
        }
        inside = front_.without(inside, *free);
        append_ready(*free->place);
    }
    front_.root = front_.join(front_.join(before, inside), behind);
}

void RangeQueue::append_ready(Place& place) noexcept {
    place.next_ready = nullptr;
    (first_ready_ == nullptr ? first_ready_ : last_ready_->next_ready) = &place;
    last_ready_ = &place;
}

RangeQueue::Place* RangeQueue::take_ready() noexcept {
    if (first_ready_ == nullptr) return nullptr;
    return std::exchange(first_ready_, first_ready_->next_ready);
}

void RangeQueue::clear() noexcept {
    BLKTAP_ASSERT(first_ready_ == nullptr);
    seen_.clear();
    begins_.root = ends_.root = nullptr;
    front_.root = nullptr;
}

std::uint32_t RangeQueue::holders_in(SectorRange range) noexcept {
    return count_before(begins_.root, range.end()) - count_before(ends_.root, range.first + 1);
}

std::uint32_t RangeQueue::count_before(const Bound* tree, std::uint64_t sector) noexcept {
    std::uint32_t count = 0;
    while (tree != nullptr) {
        ++steps_;
        if (tree->sector < sector) {
            count += 1 + (tree->left != nullptr ? tree->left->count : 0);
            tree = tree->right;
        } else {
            tree = tree->left;
        }
    }
    return count;
}

/// xorshift64: good enough to balance a tree.
std::uint32_t RangeQueue::next_priority() noexcept {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return static_cast<std::uint32_t>(random_ >> 32);
}

}  // namespace blktap
