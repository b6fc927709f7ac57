// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/tables/image_io.hpp"

#include <algorithm>
#include <utility>

#include "drivers/shared/blocking_io.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::tables {
namespace {

std::uint64_t length_of(std::span<const iovec> data) noexcept {
    std::uint64_t length = 0;
    for (const iovec& entry : data)
        length += entry.iov_len;
    return length;
}

/// Returns the result of an operation. A short read has met the end of a file that somebody cut.
std::error_code end_of(const IoOp& io) noexcept {
    const bool cut_off = !io.error && io.remaining_bytes > 0;
    return cut_off ? Errc::unexpected_end_of_file : io.error;
}

}  // namespace

ImageIo::ImageIo(const DriverContext& context, std::uint64_t cache_bytes, std::size_t slice_bytes)
    : io_(context.io), workers_(context.workers), cache_(cache_bytes, slice_bytes) {
    for (Load& load : loads_) {
        load.image = this;
        load.job.run = &read_last_slice;
        load.job.done = [](WorkerJob& job) noexcept {
            Load& its_load = *boost::intrusive::get_parent_from_member<Load>(&job, &Load::job);
            its_load.image->loaded(its_load, its_load.job_error);
        };
    }
}

void ImageIo::add(ImageFile& file) {
    files_.push_back(&file);
    bounce_.push_back(std::make_unique<BounceBuffer>(file.offset_alignment));
}

bool ImageIo::reaches(const ImageFile& file, std::uint64_t offset, std::span<const iovec> data) noexcept {
    // If the file ends inside of a sector, zeros follow, which a direct read does not return.
    const std::uint64_t file_end = file.data_end();
    if (!is_aligned(file_end, sector_size_bytes) && offset + length_of(data) > file_end) return false;
    bool aligned = is_aligned(offset, file.offset_alignment);
    for (const iovec& entry : data) {
        aligned = aligned && is_aligned(reinterpret_cast<std::uintptr_t>(entry.iov_base), file.memory_alignment) &&
                  is_aligned(entry.iov_len, file.offset_alignment);
    }
    return aligned;
}

bool ImageIo::stage(FileRequest& request, std::uint32_t layer, IoOp::Kind kind, std::uint64_t offset) noexcept {
    const ImageFile& file = *files_[layer];
    if (!reaches(file, offset, request.request.data)) return false;
    request.io.kind = kind;
    request.io.fd = file.data_descriptor();
    request.io.offset_bytes = offset;
    request.io.data = request.request.data;
    request.io.allocates = false;
    request.io.completed = &request_transferred;
    io_.stage(request.io);
    return true;
}

void ImageIo::request_transferred(IoOp& io) noexcept {
    FileRequest::of(io).complete(end_of(io));
}

void ImageIo::transfer(Task& task) noexcept {
    const Transfer& what = task.transfer;
    const ImageFile& file = *files_[what.layer];
    if (!reaches(file, what.host_offset, what.data)) return bounce(task);
    task.io.kind = what.writes ? IoOp::Kind::write : IoOp::Kind::read;
    task.io.fd = file.data_descriptor();
    task.io.offset_bytes = what.host_offset;
    task.io.data = what.data;
    task.io.allocates = what.writes && what.fresh;
    task.io.completed = &transferred;
    io_.stage(task.io);
}

void ImageIo::transferred(IoOp& io) noexcept {
    Task& task = Task::of(io);
    task.next(task, end_of(io));
}

void ImageIo::bounce(Task& task) noexcept {
    task.transfer.file_end = files_[task.transfer.layer]->data_end();
    task.transfer.image = this;
    task.job.run = [](WorkerJob& job) noexcept {
        Task& its_task = Task::of(job);
        its_task.job_error = its_task.transfer.image->transfer_blocking(its_task.transfer);
    };
    task.job.done = [](WorkerJob& job) noexcept {
        Task& its_task = Task::of(job);
        its_task.next(its_task, its_task.job_error);
    };
    workers_.start(task.job);
}

std::error_code ImageIo::transfer_blocking(const Transfer& what) noexcept {
    const SectorRange range{what.host_offset / sector_size_bytes, length_of(what.data) / sector_size_bytes};
    BounceBuffer& buffer = *bounce_[what.layer];
    const int fd = files_[what.layer]->data_descriptor();
    return what.writes ? buffer.write(fd, range, what.data) : buffer.read(fd, range, what.data, what.file_end);
}

std::error_code ImageIo::write_zeros(std::uint64_t begin, std::uint64_t end) noexcept {
    const SectorRange range{begin / sector_size_bytes, (end - begin) / sector_size_bytes};
    return bounce_.front()->write_zeros(top_file().data_descriptor(), range);
}

void ImageIo::load_slice(Task& task, std::uint32_t layer, std::uint64_t offset) noexcept {
    task.wanted = {layer, offset};
    waiting_.push_back(task);
    begin_load(task.wanted);
}

/// Begins to read a slice. Returns false if all loads or slots are busy; the first load that ends begins it then.
bool ImageIo::begin_load(const SliceCache::Key& key) noexcept {
    if (cache_.find(key) != SliceCache::none) return true;
    const auto load = std::ranges::find(loads_, SliceCache::none, &Load::slot);
    if (load == loads_.end()) return false;
    load->slot = cache_.insert(key);
    if (load->slot == SliceCache::none) return false;
    const ImageFile& file = *files_[key.layer];
    if (key.offset + file.slice_bytes() > file.tables_end()) {
        load->file_end = file.tables_end();
        workers_.start(load->job);
        return true;
    }
    load->entry = {cache_.bytes(load->slot).data(), file.slice_bytes()};
    load->io.kind = IoOp::Kind::read;
    load->io.fd = file.fd.get();
    load->io.offset_bytes = key.offset;
    load->io.data = {&load->entry, 1};
    load->io.completed = &slice_read;
    io_.stage(load->io);
    return true;
}

void ImageIo::slice_read(IoOp& io) noexcept {
    Load& load = *boost::intrusive::get_parent_from_member<Load>(&io, &Load::io);
    load.image->loaded(load, end_of(io));
}

/// Reads a slice in which the file ends. Context: a worker's thread.
void ImageIo::read_last_slice(WorkerJob& job) noexcept {
    Load& load = *boost::intrusive::get_parent_from_member<Load>(&job, &Load::job);
    const SliceCache& cache = load.image->cache_;
    const SliceCache::Key& key = cache.key(load.slot);
    const ImageFile& file = *load.image->files_[key.layer];
    const auto bytes = cache.bytes(load.slot).first(file.slice_bytes());
    load.job_error = read_to_end(file.fd.get(), bytes, key.offset, load.file_end);
}

void ImageIo::loaded(Load& load, std::error_code error) noexcept {
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

void ImageIo::begin_loads() noexcept {
    for (auto it = waiting_.begin(); it != waiting_.end();) {
        Task& task = *it++;
        const std::uint32_t slot = cache_.find(task.wanted);
        if (slot == SliceCache::none) {
            if (!begin_load(task.wanted)) return;
        } else if (cache_.ready(slot)) {
            // The slice arrived while the task waited: with the first commit of a new table.
            waiting_.erase(waiting_.iterator_to(task));
            task.next(task, {});
            it = waiting_.begin();
        }
    }
}

}  // namespace blktap::tables
