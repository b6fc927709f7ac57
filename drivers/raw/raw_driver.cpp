// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/raw/raw_driver.hpp"

#include <unistd.h>

#include "drivers/raw/discard.hpp"
#include "drivers/shared/options.hpp"
#include "libblktap/base/assert.hpp"
#include "libblktap/base/error.hpp"

namespace blktap {
namespace {

RawDriver& driver_of(const ImageRequest& request) noexcept {
    return *static_cast<RawDriver*>(request.driver);
}

}  // namespace

RawDriver::RawDriver(RawImage image, const DriverContext& context)
    : image_(std::move(image)),
      io_(context.io),
      workers_(context.workers),
      bounce_(image_.info.write_alignment_bytes) {}

void RawDriver::start(ImageRequest& request) noexcept {
    // A write past the end would make the file longer.
    BLKTAP_ASSERT(request.range.fits(image_.info.size_sectors));
    request.driver = this;
    switch (request.kind) {
        case ImageRequest::Kind::read:
        case ImageRequest::Kind::write:
            return start_transfer(request);
        case ImageRequest::Kind::flush:
            return start_flush(request);
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
    BLKTAP_ASSERT(length_bytes == request.range.length_bytes());
    return aligned;
}

void RawDriver::stage(ImageRequest& request, IoOp::Kind kind, void (*completed)(IoOp&) noexcept) noexcept {
    request.io.kind = kind;
    request.io.fd = image_.fd.get();
    request.io.offset_bytes = request.range.offset_bytes();
    request.io.data = request.data;
    request.io.completed = completed;
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
        its_request.complete(its_request.job_error);
    };
    workers_.start(request.job);
}

void RawDriver::start_transfer(ImageRequest& request) noexcept {
    const bool reading = request.kind == ImageRequest::Kind::read;
    if (reaches_device(request)) {
        stage(request, reading ? IoOp::Kind::read : IoOp::Kind::write, &transfer_completed);
    } else if (reading) {
        start_job<&RawDriver::read_misaligned>(request);
    } else {
        start_job<&RawDriver::write_misaligned>(request);
    }
}

void RawDriver::transfer_completed(IoOp& io) noexcept {
    ImageRequest& request = ImageRequest::of(io);
    if (!io.error && io.transferred_bytes < request.range.length_bytes()) {
        return request.complete(Errc::unexpected_end_of_file);
    }
    request.complete(io.error);
}

std::error_code RawDriver::read_misaligned(ImageRequest& request) noexcept {
    return bounce_.read(image_.fd.get(), request.range, request.data);
}

std::error_code RawDriver::write_misaligned(ImageRequest& request) noexcept {
    return bounce_.write(image_.fd.get(), request.range, request.data);
}

void RawDriver::start_flush(ImageRequest& request) noexcept {
    if (image_.info.read_only) return request.complete({});
    if (flush_by_ == FlushBy::workers) return start_job<&RawDriver::flush_blocking>(request);
    stage(request, IoOp::Kind::fdatasync, &flush_completed);
}

void RawDriver::flush_completed(IoOp& io) noexcept {
    ImageRequest& request = ImageRequest::of(io);
    RawDriver& driver = driver_of(request);
    const bool refused = io.error == std::errc::invalid_argument || io.error == std::errc::operation_not_supported;
    // Only until one has worked: from then on, such an error is the disk's and must not be retried into success.
    if (refused && driver.flush_by_ != FlushBy::queue) {
        driver.flush_by_ = FlushBy::workers;
        return driver.start_job<&RawDriver::flush_blocking>(request);
    }
    if (!io.error) driver.flush_by_ = FlushBy::queue;
    request.complete(io.error);
}

std::error_code RawDriver::flush_blocking(ImageRequest&) noexcept {
    return ::fdatasync(image_.fd.get()) == 0 ? std::error_code{} : last_system_error();
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

std::unique_ptr<ImageDriver> open_raw_image(const ImageSpec& spec, const DriverContext& context) {
    OptionReader options{spec};
    const Caching caching = options.take_flag("buffered", false) ? Caching::buffered : Caching::direct;
    options.finish();
    if (spec.path.empty()) {
        throw_error(std::make_error_code(std::errc::invalid_argument), image_name(spec) + ": no path is given");
    }
    UniqueFd fd = context.files.open(spec.path, spec.access, caching);
    return std::make_unique<RawDriver>(inspect_raw_image(std::move(fd), spec.path, spec.access, caching), context);
}

}  // namespace blktap
