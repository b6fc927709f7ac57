// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/qcow2_driver.hpp"

#include <cstring>
#include <unistd.h>
#include <utility>

#include "drivers/qcow2/reader.hpp"
#include "drivers/qcow2/table_io.hpp"
#include "drivers/shared/options.hpp"
#include "libblktap/base/assert.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::qcow2 {
namespace {

/// Maps 256 GiB with clusters of 64 KiB. Memory is used as the guest gets around.
constexpr std::uint64_t cache_bytes_default = 32ULL << 20;
constexpr std::uint64_t cache_bytes_max = 1ULL << 30;

Qcow2Driver& driver_of(const ImageRequest& request) noexcept {
    return *static_cast<Qcow2Driver*>(request.driver);
}

}  // namespace

Qcow2Driver::Qcow2Driver(OpenedImage image, const DriverContext& context, std::uint64_t cache_bytes)
    : info_(image.info),
      tasks_(tasks_max),
      core_(std::move(image), context, cache_bytes),
      sync_(context.io, context.workers, core_.top().fd.get(), core_.top().data_fd.get()) {
    free_tasks_.reserve(tasks_max);
    for (Task& task : tasks_) {
        task.owner = this;
        task.core = &core_;
        task.finished = &task_finished;
        free_tasks_.push_back(&task);
    }
    if (!core_.image().refcounts) return;
    writer_.emplace(core_, *core_.image().refcounts, tasks_);
    resize_.emplace(core_, *writer_, [](ImageRequest& request) noexcept { driver_of(request).start_task(request); });
}

Qcow2Driver::~Qcow2Driver() {
    BLKTAP_ASSERT(free_tasks_.size() == tasks_max && waiting_.empty());
}

void Qcow2Driver::resize(std::uint64_t size_sectors, ImageRequest& request) noexcept {
    if (!resize_ || size_sectors < info_.size_sectors) {
        return request.complete(std::make_error_code(std::errc::invalid_argument));
    }
    request.driver = this;
    resize_->start(size_sectors, request, [](ImageRequest& its_request, std::error_code error) noexcept {
        Qcow2Driver& self = driver_of(its_request);
        self.info_.size_sectors = self.core_.top().size_bytes / sector_size_bytes;
        its_request.complete(error);
    });
}

int Qcow2Driver::space_fd() const noexcept {
    const Core& core = core_;
    return writer_ && core.top().growable ? core.top().data_descriptor() : -1;
}

void Qcow2Driver::start(ImageRequest& request) noexcept {
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

bool Qcow2Driver::stage(ImageRequest& request, std::uint32_t layer, IoOp::Kind kind, std::uint64_t offset) noexcept {
    const Layer& file = core_.chain()[layer];
    if (!core_.reaches(file, offset, request.data)) return false;
    request.io.kind = kind;
    request.io.fd = file.data_descriptor();
    request.io.offset_bytes = offset;
    request.io.data = request.data;
    request.io.allocates = false;
    request.io.completed = &transfer_completed;
    core_.io().stage(request.io);
    return true;
}

bool Qcow2Driver::start_read_at_once(ImageRequest& request) noexcept {
    const std::uint64_t length = request.range.length_bytes();
    const Extent extent = resolve(core_.chain(), 0, core_.cache(), request.range.offset_bytes(), length);
    if (extent.length != length) return false;
    if (extent.kind == Extent::Kind::zero) {
        for (const iovec& entry : request.data)
            std::memset(entry.iov_base, 0, entry.iov_len);
        request.complete({});
        return true;
    }
    return extent.kind == Extent::Kind::data && stage(request, extent.layer, IoOp::Kind::read, extent.host_offset);
}

bool Qcow2Driver::start_write_at_once(ImageRequest& request) noexcept {
    const std::uint64_t length = request.range.length_bytes();
    const WriteStep found = writer_->map().find(request.range.offset_bytes(), length);
    if (found.kind != WriteStep::Kind::in_place || found.length != length) return false;
    if (writer_->is_left_over(request.range.offset_bytes(), length)) return false;
    return stage(request, 0, IoOp::Kind::write, found.host_offset);
}

void Qcow2Driver::transfer_completed(IoOp& io) noexcept {
    const bool cut_off = !io.error && io.remaining_bytes > 0;
    ImageRequest::of(io).complete(cut_off ? Errc::unexpected_end_of_file : io.error);
}

void Qcow2Driver::start_task(ImageRequest& request) noexcept {
    waiting_.push_back(request.job);
    start_waiting();
}

/// Not from within itself: a guest's thousands of requests that end as soon as they begin would nest as deep.
void Qcow2Driver::start_waiting() noexcept {
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

void Qcow2Driver::run_task(Task& task, ImageRequest& request) noexcept {
    task.request = &request;
    task.at = request.range.offset_bytes();
    task.end = task.at + request.range.length_bytes();
    task.window = IovecWindow{request.data};
    if (request.kind == ImageRequest::Kind::read) return read_disk(task);
    if (request.kind == ImageRequest::Kind::write) return writer_->write(task);
    // What covers a cluster only in part leaves it as it is.
    const std::uint64_t cluster = core_.top().cluster_bytes();
    task.at = round_up(task.at, cluster);
    task.end = std::max(task.at, round_down(task.end, cluster));
    writer_->discard(task);
}

void Qcow2Driver::task_finished(Task& task, std::error_code error) noexcept {
    Qcow2Driver& self = *static_cast<Qcow2Driver*>(task.owner);
    ImageRequest& request = *std::exchange(task.request, nullptr);
    self.free_tasks_.push_back(&task);
    request.complete(error);
    self.start_waiting();
}

void Qcow2Driver::synced(ImageRequest& request, std::error_code error) noexcept {
    writer_->committer().end_flush(request, error);
}

std::unique_ptr<ImageDriver> open_qcow2_image(const ImageSpec& spec, const DriverContext& context) {
    OptionReader options{spec};
    const Caching caching = options.take_flag("buffered", false) ? Caching::buffered : Caching::direct;
    const std::uint64_t cache_bytes = options.take_size("metadata-cache", cache_bytes_default);
    const std::uint64_t memory_bytes = options.take_size("memory-budget", context.memory_budget_bytes);
    const std::string data_file = options.take_text("data-file");
    options.finish();
    if (spec.path.empty()) {
        throw_reason(std::make_error_code(std::errc::invalid_argument), image_name(spec) + ": no path is given");
    }
    if (cache_bytes > cache_bytes_max) {
        throw_reason(std::make_error_code(std::errc::invalid_argument),
                     image_name(spec) + ": metadata-cache is more than 1G");
    }
    OpenedImage image = open_chain(spec.path, spec.access, caching, context.files, data_file, memory_bytes);
    image.memory->take(Core::memory_bytes(image.chain, cache_bytes), spec.path, "its metadata-cache, with buffers,");
    return std::make_unique<Qcow2Driver>(std::move(image), context, cache_bytes);
}

}  // namespace blktap::qcow2
