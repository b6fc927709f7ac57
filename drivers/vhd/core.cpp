// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/core.hpp"

#include <algorithm>
#include <utility>

#include "drivers/shared/blocking_io.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::vhd {
namespace {

/// Bitmaps are read in sectors, or in what the disks of the chain read at least.
std::size_t slice_bytes(const Chain& chain) noexcept {
    std::uint64_t bytes = sector_size_bytes;
    for (const Layer& layer : chain) {
        if (!layer.raw) bytes = std::max(bytes, layer.slice_bytes());
    }
    return bytes;
}

std::uint64_t length_of(std::span<const iovec> data) noexcept {
    std::uint64_t length = 0;
    for (const iovec& entry : data)
        length += entry.iov_len;
    return length;
}

}  // namespace

std::uint64_t Core::memory_bytes(const Chain& chain, std::uint64_t cache_bytes) noexcept {
    return SliceCache::memory_bytes(cache_bytes, slice_bytes(chain));
}

Core::Core(OpenedImage image, const DriverContext& context, std::uint64_t cache_bytes)
    : image_(std::move(image)),
      io_(context.io),
      workers_(context.workers),
      cache_(cache_bytes, slice_bytes(image_.chain)) {
    for (const Layer& layer : image_.chain)
        bounce_.push_back(std::make_unique<BounceBuffer>(layer.offset_alignment));
    for (Load& load : loads_) {
        load.core = this;
        load.job.run = &read_last_slice;
        load.job.done = [](WorkerJob& job) noexcept {
            Load& its_load = *boost::intrusive::get_parent_from_member<Load>(&job, &Load::job);
            its_load.core->loaded(its_load, its_load.job_error);
        };
    }
}

bool Core::reaches(const Layer& layer, std::uint64_t offset, std::span<const iovec> data) noexcept {
    // A sector that the file ends in has zeros behind that end, which a direct read does not bring.
    const std::uint64_t file_end = layer.file_end;
    if (!is_aligned(file_end, sector_size_bytes) && offset + length_of(data) > file_end) return false;
    bool aligned = is_aligned(offset, layer.offset_alignment);
    for (const iovec& entry : data) {
        aligned = aligned && is_aligned(reinterpret_cast<std::uintptr_t>(entry.iov_base), layer.memory_alignment) &&
                  is_aligned(entry.iov_len, layer.offset_alignment);
    }
    return aligned;
}

void Core::transfer(Task& task) noexcept {
    const Layer& layer = chain()[task.layer];
    if (!reaches(layer, task.host_offset, task.data)) return bounce(task);
    task.io.kind = task.writes ? IoOp::Kind::write : IoOp::Kind::read;
    task.io.fd = layer.fd.get();
    task.io.offset_bytes = task.host_offset;
    task.io.data = task.data;
    task.io.allocates = task.writes && task.fresh;
    task.io.completed = &transferred;
    io_.stage(task.io);
}

void Core::transferred(IoOp& io) noexcept {
    Task& task = Task::of(io);
    const bool cut_off = !io.error && io.remaining_bytes > 0;
    task.next(task, cut_off ? Errc::unexpected_end_of_file : io.error);
}

void Core::bounce(Task& task) noexcept {
    task.file_end = chain()[task.layer].file_end;
    task.job.run = [](WorkerJob& job) noexcept {
        Task& its_task = Task::of(job);
        its_task.job_error = its_task.core->transfer_blocking(its_task);
    };
    task.job.done = [](WorkerJob& job) noexcept {
        Task& its_task = Task::of(job);
        its_task.next(its_task, its_task.job_error);
    };
    workers_.start(task.job);
}

std::error_code Core::transfer_blocking(Task& task) noexcept {
    const SectorRange range{task.host_offset / sector_size_bytes, length_of(task.data) / sector_size_bytes};
    BounceBuffer& buffer = *bounce_[task.layer];
    const Layer& layer = chain()[task.layer];
    const int fd = layer.fd.get();
    return task.writes ? buffer.write(fd, range, task.data) : buffer.read(fd, range, task.data, task.file_end);
}

std::error_code Core::write_zeros(std::uint64_t begin, std::uint64_t end) noexcept {
    const SectorRange range{begin / sector_size_bytes, (end - begin) / sector_size_bytes};
    return bounce_.front()->write_zeros(top().fd.get(), range);
}

void Core::load_slice(Task& task, std::uint32_t layer, std::uint64_t offset) noexcept {
    task.wanted = {layer, offset};
    waiting_.push_back(task);
    begin_load(task.wanted);
}

/// False: everything that could be used for it is busy; what ends first begins it.
bool Core::begin_load(const SliceCache::Key& key) noexcept {
    if (cache_.find(key) != SliceCache::none) return true;
    const auto load = std::ranges::find(loads_, SliceCache::none, &Load::slot);
    if (load == loads_.end()) return false;
    load->slot = cache_.insert(key);
    if (load->slot == SliceCache::none) return false;
    const Layer& layer = chain()[key.layer];
    if (key.offset + layer.slice_bytes() > layer.file_bytes) {
        load->file_end = layer.file_bytes;
        workers_.start(load->job);
        return true;
    }
    load->entry = {cache_.bytes(load->slot).data(), layer.slice_bytes()};
    load->io.kind = IoOp::Kind::read;
    load->io.fd = layer.fd.get();
    load->io.offset_bytes = key.offset;
    load->io.data = {&load->entry, 1};
    load->io.completed = &slice_read;
    io_.stage(load->io);
    return true;
}

void Core::slice_read(IoOp& io) noexcept {
    Load& load = *boost::intrusive::get_parent_from_member<Load>(&io, &Load::io);
    const bool cut_off = !io.error && io.remaining_bytes > 0;
    load.core->loaded(load, cut_off ? Errc::unexpected_end_of_file : io.error);
}

/// A slice that the file ends in. Context: a worker's thread.
void Core::read_last_slice(WorkerJob& job) noexcept {
    Load& load = *boost::intrusive::get_parent_from_member<Load>(&job, &Load::job);
    const SliceCache& cache = load.core->cache_;
    const SliceCache::Key& key = cache.key(load.slot);
    const Layer& layer = load.core->chain()[key.layer];
    const auto bytes = cache.bytes(load.slot).first(layer.slice_bytes());
    load.job_error = read_to_end(layer.fd.get(), bytes, key.offset, load.file_end);
}

void Core::loaded(Load& load, std::error_code error) noexcept {
    const std::uint32_t slot = std::exchange(load.slot, SliceCache::none);
    const SliceCache::Key key = cache_.key(slot);
    cache_.loaded(slot);
    if (error) cache_.forget(slot);
    TaskList ready;
    for (auto it = waiting_.begin(); it != waiting_.end();) {
        Task& task = *it++;
        if (!(task.wanted == key)) continue;
        waiting_.erase(waiting_.iterator_to(task));
        ready.push_back(task);
    }
    while (!ready.empty()) {
        Task& task = take_first(ready);
        task.next(task, error);
    }
    begin_loads();
}

void Core::begin_loads() noexcept {
    for (auto it = waiting_.begin(); it != waiting_.end();) {
        Task& task = *it++;
        const std::uint32_t slot = cache_.find(task.wanted);
        if (slot == SliceCache::none) {
            if (!begin_load(task.wanted)) return;
        } else if (cache_.ready(slot)) {
            // It came while the task had no turn: with a new block's first commit.
            waiting_.erase(waiting_.iterator_to(task));
            task.next(task, {});
            it = waiting_.begin();
        }
    }
}

}  // namespace blktap::vhd
