// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A whole driver with I/O, for docs/WRITING-DRIVERS.md: a disk that is a part of a file, from the option "offset" on.
// It is blocking code in a worker, without alignment or Linux AIO; drivers/raw shows the code that is needed for speed.
#pragma once

#include <unistd.h>

#include "drivers/shared/blocking_io.hpp"
#include "drivers/shared/file_request.hpp"
#include "drivers/shared/options.hpp"
#include "libblktap/base/unique_fd.hpp"

namespace blktap::testing {

class ExampleDriver final : public ImageDriver {
  public:
    ExampleDriver(UniqueFd fd, std::uint64_t offset_bytes, const ImageInfo& info, WorkerPool& workers)
        : fd_(std::move(fd)), offset_bytes_(offset_bytes), info_(info), workers_(workers) {}
    const ImageInfo& info() const noexcept override { return info_; }

    // What this driver keeps of a request, in memory that comes with the request.
    ScratchSize scratch_size() const noexcept override { return ScratchSize::of<Ours>(); }
    void make_scratch(ImageRequest& request) noexcept override { request.make_scratch<Ours>(request, *this); }
    void end_scratch(ImageRequest& request) noexcept override { request.end_scratch<Ours>(); }

    void start(ImageRequest& request) noexcept override {
        if (request.kind == Kind::discard || request.kind == Kind::write_zeroes) {
            return request.complete(std::make_error_code(std::errc::operation_not_supported));
        }
        auto& ours = request.scratch<Ours>();
        ours.job.run = [](WorkerJob& job) noexcept {
            Ours& its = Ours::of(job);
            its.job_error = its.driver.work(its.request);
        };
        ours.job.done = [](WorkerJob& job) noexcept {
            Ours& its = Ours::of(job);
            its.complete(its.job_error);
        };
        workers_.start(ours.job);
    }

  private:
    using Kind = ImageRequest::Kind;
    using Ours = FileRequestOf<ExampleDriver>;
    /// Context: a worker's thread.
    std::error_code work(ImageRequest& request) const noexcept {
        std::uint64_t at = offset_bytes_ + request.range.offset_bytes();
        if (request.kind == Kind::write) return write_all_at(fd_.get(), request.data, at);
        if (request.kind == Kind::flush) return ::fdatasync(fd_.get()) == 0 ? std::error_code{} : last_system_error();
        for (const iovec& entry : request.data) {
            const auto count = read_at(fd_.get(), {static_cast<std::byte*>(entry.iov_base), entry.iov_len}, at);
            if (!count) return count.error();
            if (count.value() < entry.iov_len) return Errc::unexpected_end_of_file;
            at += entry.iov_len;
        }
        return {};
    }

    const UniqueFd fd_;
    const std::uint64_t offset_bytes_;
    const ImageInfo info_;
    WorkerPool& workers_;
};

/// The OpenImageAtOnce of it: reads and refuses options, opens by `context.files`, never trusts a size.
inline std::unique_ptr<ImageDriver> open_example_image(const ImageSpec& spec, const DriverContext& context) {
    OptionReader options{spec};
    const std::uint64_t offset_bytes = options.take_size("offset", 1 << 20);
    options.finish();
    UniqueFd fd = context.files.open(spec.path, spec.access, Caching::buffered);
    const off_t end = ::lseek(fd.get(), 0, SEEK_END);
    if (end < 0) throw_system_error(image_name(spec));
    if (static_cast<std::uint64_t>(end) <= offset_bytes)
        throw_error(Errc::image_invalid, image_name(spec) + ": ends before its offset");
    ImageInfo info;
    info.size_sectors = (static_cast<std::uint64_t>(end) - offset_bytes) / sector_size_bytes;
    info.read_only = spec.access == Access::read_only;
    return std::make_unique<ExampleDriver>(std::move(fd), offset_bytes, info, context.workers);
}

}  // namespace blktap::testing
