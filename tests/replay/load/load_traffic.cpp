// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A slot's tag is the generation of its write. Its data is contiguous: every segment but the last is a full page.
#include <algorithm>

#include "tests/replay/load/load.hpp"

namespace blktap::replay {
namespace {

/// What the slot's last request left there would pass for data that was read.
void forget_data(Slot& slot, SectorRange range) noexcept {
    for (std::uint64_t i = 0; i < range.count; ++i)
        std::fill_n(slot.data.begin() + static_cast<std::ptrdiff_t>(i * sector_size_bytes), sizeof(stamp_magic),
                    std::byte{0xee});
}

void judge_read(const DiskModel& model, const Slot& slot, SectorRange range) {
    if (const auto mismatch = model.check(range, slot.data.first(range.length_bytes())))
        throw Failure(mismatch->describe() + " (read request " + std::to_string(slot.id) + ")");
}

ring::Operation operation_of(const Slot& slot) noexcept {
    return static_cast<ring::Operation>(slot.work.operation);
}

}  // namespace

LoadTraffic::LoadTraffic(const GeneratorOptions& options, SectorRange range, std::uint64_t block_sectors, bool indirect,
                         Nanoseconds until, DiskModel* model)
    : generator_(options, range.count / block_sectors),
      range_(range),
      block_sectors_(block_sectors),
      indirect_(indirect),
      until_(until),
      model_(model),
      shape_(segments_for(block_sectors)) {}

SectorRange LoadTraffic::range_of(std::uint64_t block) const noexcept {
    return {range_.first + block * block_sectors_, block_sectors_};
}

Traffic::Next LoadTraffic::next(Slot& slot, Nanoseconds now) {
    if (now >= until_) return Next::finished;
    const auto choice = generator_.next();
    if (!choice) return generator_.finished() ? Next::finished : Next::later;
    if (choice->operation == ring::Operation::flush_diskcache) {
        slot.work = data_work(choice->operation, 0, {}, false);
        return Next::request;
    }
    const SectorRange range = range_of(choice->block);
    slot.work = data_work(choice->operation, range.first, shape_, indirect_);
    if (!model_) return Next::request;
    if (choice->operation == ring::Operation::write) {
        slot.tag = model_->stamp(range, slot.id, slot.data);
    } else {
        forget_data(slot, range);
    }
    return Next::request;
}

void LoadTraffic::completed(Slot& slot, ring::Status status) {
    const std::uint64_t block = (slot.work.sector - range_.first) / block_sectors_;
    generator_.done({operation_of(slot), block});
    if (!model_) return;
    if (operation_of(slot) == ring::Operation::write) {
        if (status == ring::Status::okay) {
            model_->written(range_of(block), slot.tag);
        } else {
            model_->uncertain(range_of(block));
        }
    } else if (operation_of(slot) == ring::Operation::read && status == ring::Status::okay) {
        judge_read(*model_, slot, range_of(block));
    }
}

ReadBackTraffic::ReadBackTraffic(const DiskModel& model, std::uint64_t block_sectors, bool indirect)
    : model_(model),
      block_sectors_(block_sectors),
      indirect_(indirect),
      block_count_(model.range().count / block_sectors),
      shape_(segments_for(block_sectors)) {}

SectorRange ReadBackTraffic::range_of(std::uint64_t block) const noexcept {
    return {model_.range().first + block * block_sectors_, block_sectors_};
}

Traffic::Next ReadBackTraffic::next(Slot& slot, Nanoseconds) {
    while (next_block_ < block_count_ && !model_.known(range_of(next_block_)))
        ++next_block_;
    if (next_block_ >= block_count_) return Next::finished;
    slot.work = data_work(ring::Operation::read, range_of(next_block_).first, shape_, indirect_);
    forget_data(slot, range_of(next_block_));
    ++next_block_;
    return Next::request;
}

void ReadBackTraffic::completed(Slot& slot, ring::Status status) {
    if (status != ring::Status::okay)
        throw Failure("reading back sector " + std::to_string(slot.work.sector) + ": answered with an error");
    judge_read(model_, slot, {slot.work.sector, block_sectors_});
}

}  // namespace blktap::replay
