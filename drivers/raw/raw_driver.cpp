// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/raw/raw_driver.hpp"

#include <algorithm>
#include <cstring>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "drivers/raw/discard.hpp"
#include "drivers/shared/blocking_io.hpp"
#include "drivers/shared/options.hpp"
#include "libblktap/base/assert.hpp"
#include "libblktap/base/error.hpp"

namespace blktap {
namespace {

/// The first write to a place may wait for the file system's journal inside io_submit(), for milliseconds. A worker
/// does it from this size on, where handing it over costs little in comparison.
constexpr std::uint64_t first_write_by_worker_bytes = 64 * 1024;
constexpr std::uint64_t size_max_sectors = INT64_MAX / sector_size_bytes;  // of off_t

RawDriver& driver_of(const ImageRequest& request) noexcept {
    return *static_cast<RawDriver*>(request.driver);
}

}  // namespace

RawDriver::RawDriver(RawImage image, const DriverContext& context)
    : image_(std::move(image)),
      io_(context.io),
      workers_(context.workers),
      bounce_(image_.info.write_alignment_bytes),
      sync_(context.io, context.workers, image_.fd.get()) {
    if (image_.block_device) return;
    growth_.emplace(image_.fd.get(), context,
                    FileGrowth::Sizes{round_up(image_.file_size_bytes, sector_size_bytes),
                                      image_.info.size_sectors * sector_size_bytes, image_.info.write_alignment_bytes},
                    &resumed);
}

void RawDriver::start(ImageRequest& request) noexcept {
    // A write past the end would make the file longer than the disk.
    BLKTAP_ASSERT(request.range.fits(image_.info.size_sectors));
    request.driver = this;
    if (!growth_ || growth_->admit(request)) start_admitted(request);
}

/// What FileGrowth kept back is to begin, or has failed.
void RawDriver::resumed(ImageRequest& request, std::error_code error) noexcept {
    if (error) return request.complete(error);
    driver_of(request).start(request);
}

void RawDriver::start_admitted(ImageRequest& request) noexcept {
    switch (request.kind) {
        case ImageRequest::Kind::read:
            return start_read(request);
        case ImageRequest::Kind::write:
            return start_write(request);
        case ImageRequest::Kind::flush:
            return image_.info.read_only ? request.complete({}) : sync_.start(*this, request);
        case ImageRequest::Kind::discard:
            return start_discard(request);
    }
}

/// Direct I/O takes the request as it is.
bool RawDriver::reaches_device(const ImageRequest& request) const noexcept {
    const ImageInfo& info = image_.info;
    bool aligned = is_aligned(request.range.offset_bytes(), info.write_alignment_bytes);
    std::uint64_t length_bytes = 0;
    for (const iovec& entry : request.data) {
        aligned = aligned &&
                  is_aligned(reinterpret_cast<std::uintptr_t>(entry.iov_base), info.memory_alignment_bytes) &&
                  is_aligned(entry.iov_len, info.write_alignment_bytes);
        length_bytes += entry.iov_len;
    }
    BLKTAP_ASSERT(length_bytes <= request.range.length_bytes());
    return aligned;
}

/// Of the sector that it reads last only a part is in the file: a direct read would not bring the zeros behind it.
bool RawDriver::ends_in_last_sector(const ImageRequest& request) const noexcept {
    const std::uint64_t end = image_.file_size_bytes;
    return !is_aligned(end, sector_size_bytes) && request.range.offset_bytes() + request.range.length_bytes() > end;
}

void RawDriver::stage(ImageRequest& request, IoOp::Kind kind, void (*completed)(IoOp&) noexcept) noexcept {
    request.io.kind = kind;
    request.io.fd = image_.fd.get();
    request.io.offset_bytes = request.range.offset_bytes();
    request.io.data = request.data;
    request.io.completed = completed;
    request.io.allocates = false;
    io_.stage(request.io);
}

/// Has a worker call `work`, and completes the request with what it returns.
template <RawDriver::Work work>
void RawDriver::start_job(ImageRequest& request) noexcept {
    request.job.run = [](WorkerJob& job) noexcept {
        ImageRequest& its_request = ImageRequest::of(job);
        its_request.job_error = (driver_of(its_request).*work)(its_request);
    };
    request.job.done = [](WorkerJob& job) noexcept {
        ImageRequest& its_request = ImageRequest::of(job);
        driver_of(its_request).look_at_growth(its_request);
        its_request.complete(its_request.job_error);
    };
    workers_.start(request.job);
}

/// Fills what is behind the file's end with zeros, and takes it from the request's data. True: nothing is left.
bool RawDriver::cut_at_end(ImageRequest& request) const noexcept {
    if (!growth_) return false;
    const std::uint64_t offset = request.range.offset_bytes();
    std::uint64_t in_file = growth_->end_bytes() > offset ? growth_->end_bytes() - offset : 0;
    if (in_file >= request.range.length_bytes()) return false;
    std::size_t entries_in_file = 0;
    for (iovec& entry : request.data) {
        const auto kept = static_cast<std::size_t>(std::min<std::uint64_t>(entry.iov_len, in_file));
        std::memset(static_cast<std::byte*>(entry.iov_base) + kept, 0, entry.iov_len - kept);
        entry.iov_len = kept;
        in_file -= kept;
        if (kept > 0) ++entries_in_file;
    }
    request.data = request.data.first(entries_in_file);
    return entries_in_file == 0;
}

void RawDriver::start_read(ImageRequest& request) noexcept {
    if (cut_at_end(request)) return request.complete({});
    if (reaches_device(request) && !ends_in_last_sector(request)) {
        stage(request, IoOp::Kind::read, &transfer_completed);
    } else {
        start_job<&RawDriver::read_misaligned>(request);
    }
}

void RawDriver::start_write(ImageRequest& request) noexcept {
    const bool first = growth_ && growth_->note_write(request.range);
    if (!reaches_device(request)) {
        start_job<&RawDriver::write_misaligned>(request);
    } else if (first && request.range.length_bytes() >= first_write_by_worker_bytes) {
        start_job<&RawDriver::write_first>(request);
    } else {
        stage(request, IoOp::Kind::write, &transfer_completed);
        request.io.allocates = first || image_.sparse;
    }
}

void RawDriver::transfer_completed(IoOp& io) noexcept {
    ImageRequest& request = ImageRequest::of(io);
    driver_of(request).look_at_growth(request);
    const bool cut_off = !io.error && io.remaining_bytes > 0;
    request.complete(cut_off ? Errc::unexpected_end_of_file : io.error);
}

void RawDriver::look_at_growth(const ImageRequest& request) noexcept {
    if (!growth_) return;
    // Not after a flush: it may be the last request, and nothing may be under way when it is answered.
    if (request.kind == ImageRequest::Kind::write) {
        growth_->look_ahead();
    } else {
        growth_->look();
    }
}

std::error_code RawDriver::read_misaligned(ImageRequest& request) noexcept {
    std::uint64_t length_bytes = 0;
    for (const iovec& entry : request.data)
        length_bytes += entry.iov_len;
    const std::uint64_t file_end = ends_in_last_sector(request) ? image_.file_size_bytes : UINT64_MAX;
    return bounce_.read(image_.fd.get(), {request.range.first, length_bytes / sector_size_bytes}, request.data,
                        file_end);
}

std::error_code RawDriver::write_first(ImageRequest& request) noexcept {
    return write_all_at(image_.fd.get(), request.data, request.range.offset_bytes());
}

std::error_code RawDriver::write_misaligned(ImageRequest& request) noexcept {
    return bounce_.write(image_.fd.get(), request.range, request.data);
}

void RawDriver::synced(ImageRequest& request, std::error_code error) noexcept {
    look_at_growth(request);
    request.complete(error);
}

void RawDriver::start_discard(ImageRequest& request) noexcept {
    if (!image_.info.discard) return request.complete(std::make_error_code(std::errc::operation_not_supported));
    if (granules_of(request).count == 0) return request.complete({});
    start_job<&RawDriver::discard>(request);
}

std::error_code RawDriver::discard(ImageRequest& request) noexcept {
    return discard_sectors(image_.fd.get(), image_.block_device, granules_of(request));
}

/// What a discard may touch: the storage keeps what it could drop only in part.
SectorRange RawDriver::granules_of(const ImageRequest& request) const noexcept {
    return whole_granules(request.range, image_.info.discard_granularity_bytes, image_.info.discard_alignment_bytes);
}

int RawDriver::space_fd() const noexcept {
    const bool may_allocate = growth_ && !image_.info.read_only;
    return may_allocate ? image_.fd.get() : -1;
}

void RawDriver::resize(std::uint64_t size_sectors, ImageRequest& request) noexcept {
    const bool possible = !image_.info.read_only && size_sectors >= image_.info.size_sectors &&
                          size_sectors <= size_max_sectors &&
                          is_aligned(size_sectors * sector_size_bytes, image_.info.write_alignment_bytes);
    if (!possible) return request.complete(std::make_error_code(std::errc::invalid_argument));
    if (!growth_) return resize_device(size_sectors, request);
    resize_asked_ = &request;
    resize_sectors_ = size_sectors;
    resize_.driver = this;
    resize_.on_complete = [](ImageRequest& inner, std::error_code error) noexcept {
        RawDriver& driver = driver_of(inner);
        if (!error) {
            driver.image_.info.size_sectors = driver.resize_sectors_;
            driver.image_.sparse = true;
        }
        std::exchange(driver.resize_asked_, nullptr)->complete(error);
    };
    growth_->resize(size_sectors * sector_size_bytes, resize_);
}

/// A block device has been made larger by whoever owns it, or has not.
void RawDriver::resize_device(std::uint64_t size_sectors, ImageRequest& request) noexcept {
    std::uint64_t size_bytes = 0;
    if (::ioctl(image_.fd.get(), BLKGETSIZE64, &size_bytes) != 0) return request.complete(last_system_error());
    if (size_sectors > size_bytes / sector_size_bytes) {
        return request.complete(std::make_error_code(std::errc::invalid_argument));
    }
    image_.info.size_sectors = size_sectors;
    request.complete({});
}

std::unique_ptr<ImageDriver> open_raw_image(const ImageSpec& spec, const DriverContext& context) {
    OptionReader options{spec};
    const Caching caching = options.take_flag("buffered", false) ? Caching::buffered : Caching::direct;
    const std::uint64_t size_bytes = options.take_size("size", 0);
    options.finish();
    if (spec.path.empty()) {
        throw_reason(std::make_error_code(std::errc::invalid_argument), image_name(spec) + ": no path is given");
    }
    UniqueFd fd = context.files.open(spec.path, spec.access, caching);
    return std::make_unique<RawDriver>(inspect_raw_image(std::move(fd), spec.path, spec.access, caching, size_bytes),
                                       context);
}

}  // namespace blktap
