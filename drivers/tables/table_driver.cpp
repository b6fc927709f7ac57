// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/tables/table_driver.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "libblktap/base/assert.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::tables {

TableDriver::TableDriver(const ImageInfo& info, std::unique_ptr<ImageIo> image)
    : info_(info),
      image_(std::move(image)),
      sync_(image_->io(), image_->workers(), &synced, image_->top_file().fd.get(), image_->top_file().data_fd.get()),
      closing_(image_->workers()) {
    free_tasks_.reserve(tasks_max);
}

TableDriver::~TableDriver() {
    BLKTAP_ASSERT(free_tasks_.size() == tasks_max && waiting_.empty());
}

void TableDriver::add_task(Task& task) noexcept {
    task.driver = this;
    BLKTAP_ASSERT(free_tasks_.size() < tasks_max);
    free_tasks_.push_back(&task);
}

void TableDriver::write_with(TableWriter& writer, Resizer& resizer) noexcept {
    writer_ = &writer;
    resizer_ = &resizer;
}

void TableDriver::synced(FileRequest& request, std::error_code error) noexcept {
    static_cast<TableRequest&>(request).driver.writer_->committer().end_flush(request, error);
}

void TableDriver::close(Closed closed) noexcept {
    if (!writable()) return closed();
    closing_.start([this] { writer_->finish(); }, std::move(closed));
}

ImageActivity TableDriver::activity() const noexcept {
    return writable() ? writer_->file_end().activity() : ImageActivity{};
}

void TableDriver::start(ImageRequest& request) noexcept {
    BLKTAP_ASSERT(request.range.fits(info_.size_sectors));
    auto& ours = request.scratch<TableRequest>();
    switch (request.kind) {
        case ImageRequest::Kind::read:
            if (!start_read_at_once(ours)) start_task(ours);
            return;
        case ImageRequest::Kind::write:
            if (!start_write_at_once(ours)) start_task(ours);
            return;
        case ImageRequest::Kind::flush:
            return writable() ? sync_.start(ours) : request.complete();
        case ImageRequest::Kind::discard:
            if (info_.discard) return start_task(ours);
            break;
        case ImageRequest::Kind::write_zeroes:
            break;
    }
    request.complete(std::make_error_code(std::errc::operation_not_supported));
}

void TableDriver::resize(std::uint64_t size_sectors, ImageRequest& request) noexcept {
    if (!writable() || size_sectors < info_.size_sectors) {
        return request.complete(std::make_error_code(std::errc::invalid_argument));
    }
    resizer_->start(size_sectors, request);
}

void TableDriver::end_resize(ImageRequest& request, std::error_code error) noexcept {
    info_.size_sectors = image_->top_file().size_bytes / sector_size_bytes;
    request.scratch<TableRequest>().complete(error);
}

std::optional<SpaceSource> TableDriver::space() const noexcept {
    const ImageFile& top = image_->top_file();
    if (!writable() || !top.growable) return std::nullopt;
    return SpaceSource{top.data_descriptor(), least_file_bytes()};
}

bool TableDriver::start_read_at_once(TableRequest& ours) noexcept {
    ImageRequest& request = ours.request;
    const std::uint64_t length = request.range.length_bytes();
    const Extent extent = find(request.range.offset_bytes(), length);
    if (extent.length != length) return false;
    if (extent.kind == Extent::Kind::zero) {
        for (const iovec& entry : request.data)
            std::memset(entry.iov_base, 0, entry.iov_len);
        request.complete();
        return true;
    }
    return extent.kind == Extent::Kind::data && image_->stage(ours, extent.layer, IoOp::Kind::read, extent.host_offset);
}

bool TableDriver::start_write_at_once(TableRequest& ours) noexcept {
    const std::uint64_t length = ours.request.range.length_bytes();
    const Extent extent = find_in_place(ours.request.range.offset_bytes(), length);
    if (extent.kind != Extent::Kind::data || extent.length != length) return false;
    return image_->stage(ours, 0, IoOp::Kind::write, extent.host_offset);
}

void TableDriver::start_task(TableRequest& request) noexcept {
    waiting_.push_back(request.job);
    start_waiting();
}

/// Starts waiting requests. Does not recurse: a guest's thousands of requests that end at once would nest as deep.
void TableDriver::start_waiting() noexcept {
    if (std::exchange(starting_, true)) return;
    while (!waiting_.empty() && !free_tasks_.empty()) {
        auto& request = static_cast<TableRequest&>(take_first(waiting_));
        Task& task = *free_tasks_.back();
        free_tasks_.pop_back();
        run_task(task, request);
    }
    starting_ = false;
}

void TableDriver::run_task(Task& task, TableRequest& ours) noexcept {
    const ImageRequest& request = ours.request;
    task.request = &ours;
    task.writer = writer_;
    task.at = request.range.offset_bytes();
    task.end = task.at + request.range.length_bytes();
    task.window = IovecWindow{request.data};
    task.change_count = 0;
    task.began_growth = false;
    if (request.kind == ImageRequest::Kind::read) return read(task);
    if (request.kind == ImageRequest::Kind::discard) {
        // Granules that are covered only in part stay as they are.
        task.at = round_up(task.at, info_.discard_granularity_bytes);
        task.end = std::max(task.at, round_down(task.end, info_.discard_granularity_bytes));
    }
    writer_->change(task);
}

void TableDriver::end_task(Task& task, std::error_code error) noexcept {
    FileRequest& request = *std::exchange(task.request, nullptr);
    free_tasks_.push_back(&task);
    request.complete(error);
    start_waiting();
}

void TableDriver::read(Task& task) noexcept {
    while (task.at < task.end) {
        task.extent = find(task.at, task.end - task.at);
        switch (task.extent.kind) {
            case Extent::Kind::data:
            case Extent::Kind::compressed:
                return read_piece(task);
            case Extent::Kind::missing:
                task.next = [](Task& its_task, std::error_code error) noexcept {
                    if (error) return its_task.driver->end_task(its_task, error);
                    its_task.driver->read(its_task);
                };
                return image_->load_slice(task, task.extent.layer, task.extent.host_offset);
            case Extent::Kind::zero:
                task.window.zero(task.extent.length);
                task.at += task.extent.length;
                break;
            case Extent::Kind::unallocated:
            case Extent::Kind::invalid:
                return end_task(task, Errc::image_invalid);
        }
    }
    end_task(task, {});
}

void TableDriver::read_piece(Task& task) noexcept {
    task.transfer.data = task.window.take(task.extent.length);
    task.next = [](Task& its_task, std::error_code error) noexcept {
        if (error) return its_task.driver->end_task(its_task, error);
        its_task.window.drop();
        its_task.at += its_task.extent.length;
        its_task.driver->read(its_task);
    };
    fetch(task);
}

void TableDriver::fetch(Task& task) noexcept {
    if (task.extent.kind != Extent::Kind::compressed) {
        task.transfer.read_from(task.extent);
        return image_->transfer(task);
    }
    task.job.run = [](WorkerJob& job) noexcept {
        Task& its_task = Task::of(job);
        its_task.job_error = its_task.driver->decompress(its_task.extent, its_task.transfer.data);
    };
    task.job.done = [](WorkerJob& job) noexcept {
        Task& its_task = Task::of(job);
        its_task.next(its_task, its_task.job_error);
    };
    image_->workers().start(task.job);
}

/// Overridden by formats with compression; in others a compressed extent is damage.
std::error_code TableDriver::decompress(const Extent&, std::span<const iovec>) noexcept {
    return Errc::image_invalid;
}

}  // namespace blktap::tables
