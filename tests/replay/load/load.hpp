// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// `ring-replay load`: generated load, measured, and with `verify` checked to the last sector.
//
// Tested by tests/unit/replay/load_test.cpp.
#pragma once

#include "tests/replay/disk_model.hpp"
#include "tests/replay/extent.hpp"
#include "tests/replay/failure.hpp"
#include "tests/replay/load/generator.hpp"
#include "tests/replay/target.hpp"

namespace blktap::replay {

struct LoadOptions {
    GeneratorOptions generator{};
    std::uint64_t size_bytes = page_size_bytes;  ///< of a request: sectors, at most request_size_max_bytes
    unsigned depth = 1;                          ///< on each queue
    Indirect indirect = Indirect::automatic;
    std::optional<SectorRange> range{};
    Nanoseconds duration{0};  ///< 0: until the generator is finished
    bool verify = false;
    bool spin = false;
    bool json = false;
};

/// Runs the load and prints its report. Errors: throws Failure; std::runtime_error for what this disk cannot do.
Exit run_load(const Target& target, LoadOptions options);

/// The load itself, as traffic. In verify mode every write is stamped and every read judged.
class LoadTraffic final : public Traffic {
  public:
    /// `model` (null: nothing is verified) must outlive this. No request is made from `until` on.
    LoadTraffic(const GeneratorOptions& options, SectorRange range, std::uint64_t block_sectors, bool indirect,
                Nanoseconds until, DiskModel* model);
    Next next(Slot& slot, Nanoseconds now) override;
    void completed(Slot& slot, ring::Status status) override;
    void stop() noexcept override { generator_.stop(); }

  private:
    SectorRange range_of(std::uint64_t block) const noexcept;

    Generator generator_;
    const SectorRange range_;
    const std::uint64_t block_sectors_;
    const bool indirect_;
    const Nanoseconds until_;
    DiskModel* const model_;
    const std::vector<SegmentShape> shape_;
};

/// Reads every block that the model knows something of, and judges it.
class ReadBackTraffic final : public Traffic {
  public:
    ReadBackTraffic(const DiskModel& model, std::uint64_t block_sectors, bool indirect);
    Next next(Slot& slot, Nanoseconds now) override;
    void completed(Slot& slot, ring::Status status) override;
    void stop() noexcept override { next_block_ = block_count_; }

  private:
    SectorRange range_of(std::uint64_t block) const noexcept;

    const DiskModel& model_;
    const std::uint64_t block_sectors_;
    const bool indirect_;
    const std::uint64_t block_count_;
    const std::vector<SegmentShape> shape_;
    std::uint64_t next_block_ = 0;
};

}  // namespace blktap::replay
