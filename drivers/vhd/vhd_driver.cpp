// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/vhd_driver.hpp"

#include <cstring>
#include <unistd.h>
#include <utility>

#include "drivers/shared/options.hpp"
#include "drivers/vhd/reader.hpp"
#include "libblktap/base/assert.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::vhd {
namespace {

/// Bitmaps that are set in part: 32 GiB of blocks of 2 MiB. Those that are set whole need a bit.
constexpr std::uint64_t cache_bytes_default = 8ULL << 20;
constexpr std::uint64_t cache_bytes_max = 1ULL << 30;

VhdDriver& driver_of(const ImageRequest& request) noexcept {
    return *static_cast<VhdDriver*>(request.driver);
}

}  // namespace

VhdDriver::VhdDriver(OpenedImage image, const DriverContext& context, std::uint64_t cache_bytes)
    : info_(image.info),
      tasks_(tasks_max),
      core_(std::move(image), context, cache_bytes),
      sync_(context.io, context.workers, core_.top().fd.get()) {
    free_tasks_.reserve(tasks_max);
    for (Task& task : tasks_) {
        task.owner = this;
        task.core = &core_;
        task.finished = &task_finished;
        free_tasks_.push_back(&task);
    }
    if (info_.read_only) return;
    writer_.emplace(core_);
    resize_.emplace(core_, *writer_);
}

VhdDriver::~VhdDriver() {
    BLKTAP_ASSERT(free_tasks_.size() == tasks_max && waiting_.empty());
}

void VhdDriver::resize(std::uint64_t size_sectors, ImageRequest& request) noexcept {
    if (!resize_ || size_sectors < info_.size_sectors) {
        return request.complete(std::make_error_code(std::errc::invalid_argument));
    }
    request.driver = this;
    resize_->start(size_sectors, request, [](ImageRequest& its_request, std::error_code error) noexcept {
        VhdDriver& self = driver_of(its_request);
        self.info_.size_sectors = self.core_.top().size_bytes / sector_size_bytes;
        its_request.complete(error);
    });
}

int VhdDriver::space_fd() const noexcept {
    return writer_ && core_.top().growable ? core_.top().fd.get() : -1;
}

void VhdDriver::start(ImageRequest& request) noexcept {
    BLKTAP_ASSERT(request.range.fits(info_.size_sectors));
    request.driver = this;
    switch (request.kind) {
        case ImageRequest::Kind::read:
            if (!start_read_at_once(request)) start_task(request);
            return;
        case ImageRequest::Kind::write:
            if (!start_write_at_once(request)) start_task(request);
            return;
        case ImageRequest::Kind::flush:
            return writer_ ? sync_.start(*this, request) : request.complete({});
        case ImageRequest::Kind::discard:
            if (!info_.discard) return request.complete(std::make_error_code(std::errc::operation_not_supported));
            return start_task(request);
    }
}

bool VhdDriver::stage(ImageRequest& request, std::uint32_t layer, IoOp::Kind kind, std::uint64_t offset) noexcept {
    const Layer& file = core_.chain()[layer];
    if (!Core::reaches(file, offset, request.data)) return false;
    request.io.kind = kind;
    request.io.fd = file.fd.get();
    request.io.offset_bytes = offset;
    request.io.data = request.data;
    request.io.allocates = false;
    request.io.completed = &transfer_completed;
    core_.io().stage(request.io);
    return true;
}

bool VhdDriver::start_read_at_once(ImageRequest& request) noexcept {
    const std::uint64_t length = request.range.length_bytes();
    const Extent extent = resolve(core_.chain(), core_.cache(), request.range.offset_bytes(), length);
    if (extent.length != length) return false;
    if (extent.kind == Extent::Kind::zero) {
        for (const iovec& entry : request.data)
            std::memset(entry.iov_base, 0, entry.iov_len);
        request.complete({});
        return true;
    }
    return extent.kind == Extent::Kind::data && stage(request, extent.layer, IoOp::Kind::read, extent.host_offset);
}

bool VhdDriver::start_write_at_once(ImageRequest& request) noexcept {
    const std::uint64_t length = request.range.length_bytes();
    const Extent extent = look_up(core_.chain(), 0, core_.cache(), request.range.offset_bytes(), length);
    if (extent.kind != Extent::Kind::data || extent.length != length) return false;
    return stage(request, 0, IoOp::Kind::write, extent.host_offset);
}

void VhdDriver::transfer_completed(IoOp& io) noexcept {
    const bool cut_off = !io.error && io.remaining_bytes > 0;
    ImageRequest::of(io).complete(cut_off ? Errc::unexpected_end_of_file : io.error);
}

void VhdDriver::start_task(ImageRequest& request) noexcept {
    waiting_.push_back(request.job);
    start_waiting();
}

/// Not from within itself: a guest's thousands of requests that end as soon as they begin would nest as deep.
void VhdDriver::start_waiting() noexcept {
    if (std::exchange(starting_, true)) return;
    while (!waiting_.empty() && !free_tasks_.empty()) {
        WorkerJob& request = waiting_.front();
        waiting_.pop_front();
        Task& task = *free_tasks_.back();
        free_tasks_.pop_back();
        run_task(task, ImageRequest::of(request));
    }
    starting_ = false;
}

void VhdDriver::run_task(Task& task, ImageRequest& request) noexcept {
    task.request = &request;
    task.at = request.range.offset_bytes();
    task.end = task.at + request.range.length_bytes();
    task.window = IovecWindow{request.data};
    if (request.kind == ImageRequest::Kind::read) return read_disk(task);
    if (request.kind == ImageRequest::Kind::write) return writer_->write(task);
    // What covers a granule only in part leaves it as it is.
    task.at = round_up(task.at, info_.discard_granularity_bytes);
    task.end = std::max(task.at, round_down(task.end, info_.discard_granularity_bytes));
    writer_->discard(task);
}

void VhdDriver::task_finished(Task& task, std::error_code error) noexcept {
    VhdDriver& self = *static_cast<VhdDriver*>(task.owner);
    ImageRequest& request = *std::exchange(task.request, nullptr);
    self.free_tasks_.push_back(&task);
    request.complete(error);
    self.start_waiting();
}

void VhdDriver::synced(ImageRequest& request, std::error_code error) noexcept {
    writer_->committer().end_flush(request, error);
}

std::unique_ptr<ImageDriver> open_vhd_image(const ImageSpec& spec, const DriverContext& context) {
    OptionReader options{spec};
    const Caching caching = options.take_flag("buffered", false) ? Caching::buffered : Caching::direct;
    const std::uint64_t cache_bytes = options.take_size("metadata-cache", cache_bytes_default);
    const std::uint64_t memory_bytes = options.take_size("memory-budget", context.memory_budget_bytes);
    options.finish();
    if (spec.path.empty()) {
        throw_reason(std::make_error_code(std::errc::invalid_argument), image_name(spec) + ": no path is given");
    }
    if (cache_bytes > cache_bytes_max) {
        throw_reason(std::make_error_code(std::errc::invalid_argument),
                     image_name(spec) + ": metadata-cache is more than 1G");
    }
    OpenedImage image = open_chain(spec.path, spec.access, caching, context.files, memory_bytes);
    image.memory->take(Core::memory_bytes(image.chain, cache_bytes), spec.path, "its metadata-cache");
    return std::make_unique<VhdDriver>(std::move(image), context, cache_bytes);
}

}  // namespace blktap::vhd
