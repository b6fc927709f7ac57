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

/// The first write to a part of a file may wait for the file system's journal inside io_submit(), for milliseconds.
/// From this size on a worker does it, because then the hand-over costs little in comparison.
constexpr std::uint64_t first_write_by_worker_bytes = 64 * 1024;
constexpr std::uint64_t size_max_sectors = INT64_MAX / sector_size_bytes;  // of off_t

RawDriver& driver_of(FileRequest& request) noexcept {
    return static_cast<RawRequest&>(request).driver;
}

}  // namespace

RawDriver::RawDriver(RawImage image, const DriverContext& context)
    : image_(std::move(image)),
      io_(context.io),
      workers_(context.workers),
      bounce_(image_.info.write_alignment_bytes),
      sync_(context.io, context.workers, &synced, image_.fd.get()),
      closing_(context.workers) {
    if (image_.block_device) return;
    growth_.emplace(image_.fd.get(), context,
                    FileGrowth::Sizes{round_up(image_.file_size_bytes, sector_size_bytes),
                                      image_.info.size_sectors * sector_size_bytes, image_.info.write_alignment_bytes},
                    &resumed);
}

ScratchSize RawDriver::scratch_size() const noexcept {
    return ScratchSize::of<RawRequest>();
}

void RawDriver::make_scratch(ImageRequest& request) noexcept {
    request.make_scratch<RawRequest>(request, *this);
}

void RawDriver::end_scratch(ImageRequest& request) noexcept {
    request.end_scratch<RawRequest>();
}

void RawDriver::start(ImageRequest& request) noexcept {
    // A write beyond the end would make the file longer than the disk.
    BLKTAP_ASSERT(request.range.fits(image_.info.size_sectors));
    auto& ours = request.scratch<RawRequest>();
    if (!growth_ || growth_->admit(ours)) start_admitted(ours);
}

/// Starts a request that waited in FileGrowth, or ends it with an error.
void RawDriver::resumed(FileRequest& waited, std::error_code error) noexcept {
    if (error) return waited.complete(error);
    driver_of(waited).start(waited.request);
}

void RawDriver::start_admitted(RawRequest& ours) noexcept {
    switch (ours.request.kind) {
        case ImageRequest::Kind::read:
            return start_read(ours);
        case ImageRequest::Kind::write:
            return start_write(ours);
        case ImageRequest::Kind::flush:
            return image_.info.read_only ? ours.complete({}) : sync_.start(ours);
        case ImageRequest::Kind::discard:
            return start_discard(ours);
        case ImageRequest::Kind::write_zeroes:
            return start_write_zeroes(ours);
    }
}

/// Whether direct I/O accepts the request unchanged.
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

/// Whether the request reads a last sector that lies only partly in the file: a direct read would not fill in the
/// zeros.
bool RawDriver::ends_in_last_sector(const ImageRequest& request) const noexcept {
    const std::uint64_t end = image_.file_size_bytes;
    return !is_aligned(end, sector_size_bytes) && request.range.offset_bytes() + request.range.length_bytes() > end;
}

void RawDriver::stage(RawRequest& ours, IoOp::Kind kind, bool allocates) noexcept {
    ours.io.kind = kind;
    ours.io.fd = image_.fd.get();
    ours.io.offset_bytes = ours.request.range.offset_bytes();
    ours.io.data = ours.request.data;
    ours.io.completed = &transfer_completed;
    ours.io.allocates = allocates;
    io_.stage(ours.io);
}

/// Has a worker call `work`, and completes the request with its result.
template <RawDriver::Work work>
void RawDriver::start_job(RawRequest& ours) noexcept {
    ours.job.run = [](WorkerJob& job) noexcept {
        RawRequest& its = RawRequest::of(job);
        its.job_error = (its.driver.*work)(its.request);
    };
    ours.job.done = [](WorkerJob& job) noexcept {
        RawRequest& its = RawRequest::of(job);
        its.driver.look_at_growth(its.request);
        its.complete(its.job_error);
    };
    workers_.start(ours.job);
}

/// Fills the request's data behind the file's end with zeros, and cuts it off. Returns true if no data is left.
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

void RawDriver::start_read(RawRequest& ours) noexcept {
    if (cut_at_end(ours.request)) return ours.complete({});
    if (reaches_device(ours.request) && !ends_in_last_sector(ours.request)) {
        stage(ours, IoOp::Kind::read, false);
    } else {
        start_job<&RawDriver::read_misaligned>(ours);
    }
}

void RawDriver::start_write(RawRequest& ours) noexcept {
    const bool first = growth_ && growth_->note_write(ours.request.range);
    if (!reaches_device(ours.request)) {
        start_job<&RawDriver::write_misaligned>(ours);
    } else if (first && ours.request.range.length_bytes() >= first_write_by_worker_bytes) {
        start_job<&RawDriver::write_first>(ours);
    } else {
        stage(ours, IoOp::Kind::write, first || image_.sparse);
    }
}

void RawDriver::transfer_completed(IoOp& io) noexcept {
    RawRequest& ours = RawRequest::of(io);
    ours.driver.look_at_growth(ours.request);
    const bool cut_off = !io.error && io.remaining_bytes > 0;
    ours.complete(cut_off ? Errc::unexpected_end_of_file : io.error);
}

void RawDriver::look_at_growth(const ImageRequest& request) noexcept {
    if (!growth_) return;
    // Not after a flush: it may be the last request, and no growth may be under way when it is answered.
    if (request.kind == ImageRequest::Kind::write || request.kind == ImageRequest::Kind::write_zeroes) {
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

void RawDriver::synced(FileRequest& request, std::error_code error) noexcept {
    driver_of(request).look_at_growth(request.request);
    request.complete(error);
}

void RawDriver::start_discard(RawRequest& ours) noexcept {
    if (!image_.info.discard) return ours.complete(std::make_error_code(std::errc::operation_not_supported));
    if (granules_of(ours.request).count == 0) return ours.complete({});
    start_job<&RawDriver::discard>(ours);
}

void RawDriver::start_write_zeroes(RawRequest& ours) noexcept {
    if (growth_) growth_->note_write(ours.request.range);
    start_job<&RawDriver::write_zeroes>(ours);
}

std::error_code RawDriver::write_zeroes(ImageRequest& request) noexcept {
    return bounce_.write_zeros(image_.fd.get(), request.range, request.may_unmap);
}

std::error_code RawDriver::discard(ImageRequest& request) noexcept {
    return discard_sectors(image_.fd.get(), image_.block_device, granules_of(request));
}

/// Returns the whole granules of a discard: the storage keeps granules that are covered only in part.
SectorRange RawDriver::granules_of(const ImageRequest& request) const noexcept {
    return whole_granules(request.range, image_.info.discard_granularity_bytes, image_.info.discard_alignment_bytes);
}

std::optional<SpaceSource> RawDriver::space() const noexcept {
    const bool may_allocate = growth_ && !image_.info.read_only;
    return may_allocate ? std::optional(SpaceSource{image_.fd.get(), growth_->end_bytes()}) : std::nullopt;
}

void RawDriver::close(Closed closed) noexcept {
    if (!growth_ || !growth_->is_ahead()) return closed();
    closing_.start([this] { growth_->give_back_ahead(); }, std::move(closed));
}

void RawDriver::resize(std::uint64_t size_sectors, ImageRequest& request) noexcept {
    const bool possible = !image_.info.read_only && size_sectors >= image_.info.size_sectors &&
                          size_sectors <= size_max_sectors &&
                          is_aligned(size_sectors * sector_size_bytes, image_.info.write_alignment_bytes);
    if (!possible) return request.complete(std::make_error_code(std::errc::invalid_argument));
    if (!growth_) return resize_device(size_sectors, request);
    resize_sectors_ = size_sectors;
    growth_->resize(size_sectors * sector_size_bytes, request.scratch<RawRequest>(), &resized);
}

void RawDriver::resized(FileRequest& asked, std::error_code error) noexcept {
    RawDriver& driver = driver_of(asked);
    if (!error) {
        driver.image_.info.size_sectors = driver.resize_sectors_;
        driver.image_.sparse = true;
    }
    asked.complete(error);
}

/// Resizes the disk on a block device, whose owner must have made the device larger.
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
    const DeviceDiscard told = context.files.device_discard(fd.get());
    return std::make_unique<RawDriver>(
        inspect_raw_image(std::move(fd), spec.path, spec.access, caching, size_bytes, told), context);
}

}  // namespace blktap
