// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/replay/load/mixed_traffic.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "tests/replay/extent.hpp"
#include "tests/replay/failure.hpp"

namespace blktap::replay {
namespace {

/// So many blocks get half of the requests.
constexpr std::uint64_t busy_blocks = 256;

}  // namespace

MixedTraffic::MixedTraffic(DiskModel& model, unsigned queue_count, bool discards, std::uint64_t seed)
    : model_(model),
      discards_(discards),
      random_(seed),
      used_(model.range().count / block_sectors),
      planned_(queue_count),
      small_(segments_for(block_sectors)),
      large_(segments_for(large_blocks * block_sectors)) {}

void MixedTraffic::mark(SectorRange range, bool used) {
    const auto first =
        used_.begin() + static_cast<std::ptrdiff_t>((range.first - model_.range().first) / block_sectors);
    std::fill_n(first, range.count / block_sectors, used);
}

/// Sectors of which no request is in flight, so that their contents are known.
std::optional<SectorRange> MixedTraffic::claim(std::uint64_t blocks) {
    for (int attempts = 0; attempts < 100; ++attempts) {
        const std::uint64_t among = random_.below(2) == 0 ? busy_blocks : used_.size();
        const std::uint64_t block = random_.below(among - blocks + 1);
        const auto first = used_.begin() + static_cast<std::ptrdiff_t>(block);
        if (std::any_of(first, first + static_cast<std::ptrdiff_t>(blocks), [](bool used) { return used; })) continue;
        const SectorRange range{model_.range().first + block * block_sectors, blocks * block_sectors};
        mark(range, true);
        return range;
    }
    return std::nullopt;
}

void MixedTraffic::plan_triple(unsigned queue) {
    const auto written = claim(1);
    const auto barrier = claim(1);
    if (written && barrier) {
        const auto triple = std::make_shared<Triple>(Triple{*written, *barrier});
        planned_[queue].push_back({Kind::write, *written, 0, triple, 0});
        planned_[queue].push_back({Kind::barrier, *barrier, 0, triple, 1});
        planned_[queue].push_back({Kind::write, *written, 0, triple, 2});
    } else {
        if (written) release(*written);
        if (barrier) release(*barrier);
    }
}

void MixedTraffic::plan(unsigned queue) {
    const std::uint64_t choice = random_.below(100);
    if (choice < 6 && barriers_) return plan_triple(queue);
    if (choice < 9) return planned_[queue].push_back({Kind::flush, {}});
    const bool large = choice < 15;
    const auto range = claim(large ? large_blocks : 1);
    if (!range) return;
    const Kind kind = choice < 12 || choice >= 50 ? Kind::write
                      : discards_ && choice >= 46 ? Kind::discard
                                                  : Kind::read;
    planned_[queue].push_back({kind, *range});
}

Traffic::Next MixedTraffic::next(Slot& slot, Nanoseconds) {
    std::deque<Task>& planned = planned_[slot.queue];
    if (planned.empty() && !stopped_) plan(slot.queue);
    if (planned.empty()) {
        const bool all = std::ranges::all_of(planned_, [](const auto& each) { return each.empty(); });
        return stopped_ && all ? Next::finished : Next::later;
    }
    put(slot, planned.front());
    planned.pop_front();
    return Next::request;
}

void MixedTraffic::put(Slot& slot, Task task) {
    const auto& shape = task.range.count > block_sectors ? large_ : small_;
    const bool indirect = task.range.count > block_sectors;
    switch (task.kind) {
        case Kind::read:
            // What the slot's last request left there must not pass for data that was read.
            std::ranges::fill(slot.data, std::byte{0xee});
            slot.work = data_work(ring::Operation::read, task.range.first, shape, indirect);
            break;
        case Kind::write:
            slot.work = data_work(ring::Operation::write, task.range.first, shape, indirect);
            task.generation = model_.stamp(task.range, slot.id, slot.data);
            break;
        case Kind::barrier:
            slot.work = data_work(ring::Operation::write_barrier, task.range.first, shape, indirect);
            task.generation = model_.stamp(task.range, slot.id, slot.data);
            break;
        case Kind::flush:
            slot.work = data_work(ring::Operation::flush_diskcache, 0, {}, false);
            break;
        case Kind::discard:
            slot.work = data_work(ring::Operation::discard, task.range.first, {}, false);
            slot.work.discard_sectors = task.range.count;
            break;
    }
    if (free_tasks_.empty()) {
        free_tasks_.push_back(tasks_.size());
        tasks_.emplace_back();
    }
    slot.tag = free_tasks_.back();
    free_tasks_.pop_back();
    tasks_[slot.tag] = task;
}

void MixedTraffic::judge_order(Task& task) {
    Triple& triple = *task.triple;
    if (triple.answered != task.place)
        throw Failure("sector " + std::to_string(task.range.first) + ": request " + std::to_string(task.place) +
                      " of a write, a barrier and a write was answered after " + std::to_string(triple.answered) +
                      " of them");
    if (++triple.answered < 3) return;
    release(triple.written);
    release(triple.barrier);
}

void MixedTraffic::completed(Slot& slot, ring::Status status) {
    Task& task = tasks_[slot.tag];
    free_tasks_.push_back(slot.tag);
    const std::string name = "request " + std::to_string(slot.id) + " (operation " +
                             std::to_string(slot.work.operation) + ", sector " + std::to_string(slot.work.sector) + ")";
    if (status != ring::Status::okay) throw Failure(name + ": answered with an error");
    switch (task.kind) {
        case Kind::write:
        case Kind::barrier:
            model_.written(task.range, task.generation);
            break;
        case Kind::discard:
            model_.uncertain(task.range);
            break;
        case Kind::read:
            if (const auto mismatch = model_.check(task.range, slot.data.first(task.range.length_bytes())))
                throw Failure(mismatch->describe() + ", read by " + name);
            break;
        case Kind::flush:
            return;
    }
    if (task.triple != nullptr) return judge_order(task);
    release(task.range);
}

}  // namespace blktap::replay
