// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// MixedTraffic: everything that a guest may ask a disk for, at once, and whatever order a guest may rely on is judged:
// a write, a barrier and another write to the first one's sectors are in flight together, and must be done in this
// order. Half of the requests go to few sectors, which are written again and again: a write that is done twice, or
// late, spoils a newer one there.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "tests/replay/disk_model.hpp"
#include "tests/replay/load/random.hpp"
#include "tests/replay/load/traffic.hpp"

namespace blktap::replay {

class MixedTraffic final : public Traffic {
  public:
    static constexpr std::uint64_t block_sectors = 8;
    /// A large request has so many blocks, and needs descriptors.
    static constexpr std::uint64_t large_blocks = 16;

    /// `model` outlives this, and is of the sectors that this may use.
    MixedTraffic(DiskModel& model, unsigned queue_count, bool discards, std::uint64_t seed);
    /// No barriers: most of what is in flight would wait for one, and not be in the kernel.
    void without_barriers() noexcept { barriers_ = false; }

    Next next(Slot& slot, Nanoseconds now) override;
    /// Errors: throws Failure: an error, wrong data, or a request that overtook a barrier.
    void completed(Slot& slot, ring::Status status) override;
    void stop() noexcept override { stopped_ = true; }

  private:
    enum class Kind : std::uint8_t { read, write, barrier, flush, discard };
    /// Of a write, a barrier and a write that were sent together.
    struct Triple {
        SectorRange written;
        SectorRange barrier;
        unsigned answered = 0;
    };
    struct Task {
        Kind kind = Kind::read;
        SectorRange range{};
        std::uint64_t generation = 0;
        std::shared_ptr<Triple> triple{};
        unsigned place = 0;  ///< in the triple
    };

    void plan(unsigned queue);
    void plan_triple(unsigned queue);
    std::optional<SectorRange> claim(std::uint64_t blocks);
    void release(SectorRange range) { mark(range, false); }
    void mark(SectorRange range, bool used);
    void put(Slot& slot, Task task);
    void judge_order(Task& task);

    DiskModel& model_;
    const bool discards_;
    Random random_;
    std::vector<bool> used_;                 ///< by block: a request for it is in flight
    std::vector<std::deque<Task>> planned_;  ///< of each queue, in the order in which they are sent
    std::deque<Task> tasks_;                 ///< in flight: a slot's tag is its index here
    std::vector<std::uint64_t> free_tasks_;
    const std::vector<SegmentShape> small_;
    const std::vector<SegmentShape> large_;
    bool barriers_ = true;
    bool stopped_ = false;
};

}  // namespace blktap::replay
