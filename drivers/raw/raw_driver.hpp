// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RawDriver: a disk whose sectors are the bytes of a regular file or a block device. A request that suits direct I/O
// becomes one operation on the queue, however many segments it has; all others (misaligned I/O, discard) are jobs of
// the workers. A file may be shorter than the disk: sectors behind its end read as zeros, and FileGrowth makes the file
// longer before they are written.
//
// User's view: docs/man/tapdisk-raw.7.scd. Tested by tests/unit/drivers/raw_driver_test.cpp and
// tests/property/driver_property_test.cpp.
#pragma once

#include <optional>

#include "drivers/raw/raw_image.hpp"
#include "drivers/shared/bounce_buffer.hpp"
#include "drivers/shared/closing_job.hpp"
#include "drivers/shared/file_growth.hpp"
#include "drivers/shared/file_sync.hpp"
#include "libblktap/driver_api/image_driver.hpp"

namespace blktap {

class RawDriver;
/// A request's scratch.
using RawRequest = FileRequestOf<RawDriver>;

class RawDriver final : public ImageDriver {
  public:
    /// Lifetime: the objects of `context` must outlive the driver. Errors: throws std::system_error (ENOMEM).
    RawDriver(RawImage image, const DriverContext& context);

    const ImageInfo& info() const noexcept override { return image_.info; }
    ScratchSize scratch_size() const noexcept override;
    void make_scratch(ImageRequest& request) noexcept override;
    void end_scratch(ImageRequest& request) noexcept override;
    void start(ImageRequest& request) noexcept override;
    void resize(std::uint64_t size_sectors, ImageRequest& request) noexcept override;
    std::optional<SpaceSource> space() const noexcept override;
    void close(Closed closed) noexcept override;
    ImageActivity activity() const noexcept override { return growth_ ? growth_->activity() : ImageActivity{}; }

  private:
    using Work = std::error_code (RawDriver::*)(ImageRequest&) noexcept;

    bool reaches_device(const ImageRequest& request) const noexcept;
    bool ends_in_last_sector(const ImageRequest& request) const noexcept;
    SectorRange granules_of(const ImageRequest& request) const noexcept;
    void stage(RawRequest& ours, IoOp::Kind kind, bool allocates) noexcept;
    template <Work work>
    void start_job(RawRequest& ours) noexcept;

    void start_admitted(RawRequest& ours) noexcept;
    static void resumed(FileRequest& waited, std::error_code error) noexcept;
    void look_at_growth(const ImageRequest& request) noexcept;
    bool cut_at_end(ImageRequest& request) const noexcept;
    void resize_device(std::uint64_t size_sectors, ImageRequest& request) noexcept;
    static void resized(FileRequest& asked, std::error_code error) noexcept;
    void start_read(RawRequest& ours) noexcept;
    void start_write(RawRequest& ours) noexcept;
    void start_discard(RawRequest& ours) noexcept;
    void start_write_zeroes(RawRequest& ours) noexcept;
    static void synced(FileRequest& request, std::error_code error) noexcept;
    static void transfer_completed(IoOp& io) noexcept;

    // Jobs.
    std::error_code read_misaligned(ImageRequest& request) noexcept;
    std::error_code write_first(ImageRequest& request) noexcept;
    std::error_code write_misaligned(ImageRequest& request) noexcept;
    std::error_code discard(ImageRequest& request) noexcept;
    std::error_code write_zeroes(ImageRequest& request) noexcept;

    RawImage image_;
    IoQueue& io_;
    WorkerPool& workers_;
    BounceBuffer bounce_;
    FileSync sync_;
    std::optional<FileGrowth> growth_;  ///< for a file only
    std::uint64_t resize_sectors_ = 0;  ///< the new size of a resize under way
    ClosingJob closing_;
};

/// Opens "raw:PATH"; options buffered=yes|no and size=SIZE. An OpenImageAtOnce.
std::unique_ptr<ImageDriver> open_raw_image(const ImageSpec& spec, const DriverContext& context);

}  // namespace blktap
