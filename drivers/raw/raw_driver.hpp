// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RawDriver: a disk whose sectors are the bytes of a regular file or a block device. A request that direct I/O takes as
// it is becomes one operation on the queue, however many segments it has; everything else (misaligned I/O, discard) is
// a job of the workers. A file may be shorter than the disk: what is behind its end reads as zeros, and FileGrowth
// makes it longer before it is written.
//
// User's view: docs/man/tapdisk-raw.7.scd. Tested by tests/unit/drivers/raw_driver_test.cpp and
// tests/property/driver_property_test.cpp.
#pragma once

#include <optional>

#include "drivers/raw/raw_image.hpp"
#include "drivers/shared/bounce_buffer.hpp"
#include "drivers/shared/file_growth.hpp"
#include "drivers/shared/file_sync.hpp"
#include "libblktap/driver_api/image_driver.hpp"

namespace blktap {

class RawDriver final : public ImageDriver {
  public:
    /// Lifetime: what `context` refers to must outlive the driver. Errors: throws std::system_error (ENOMEM).
    RawDriver(RawImage image, const DriverContext& context);

    const ImageInfo& info() const noexcept override { return image_.info; }
    void start(ImageRequest& request) noexcept override;
    void resize(std::uint64_t size_sectors, ImageRequest& request) noexcept override;
    int space_fd() const noexcept override;
    std::uint64_t least_file_bytes() const noexcept override { return growth_ ? growth_->end_bytes() : 0; }
    ImageActivity activity() const noexcept override { return growth_ ? growth_->activity() : ImageActivity{}; }

  private:
    using Work = std::error_code (RawDriver::*)(ImageRequest&) noexcept;

    bool reaches_device(const ImageRequest& request) const noexcept;
    bool ends_in_last_sector(const ImageRequest& request) const noexcept;
    SectorRange granules_of(const ImageRequest& request) const noexcept;
    void stage(ImageRequest& request, IoOp::Kind kind, void (*completed)(IoOp&) noexcept) noexcept;
    template <Work work>
    void start_job(ImageRequest& request) noexcept;

    void start_admitted(ImageRequest& request) noexcept;
    static void resumed(ImageRequest& request, std::error_code error) noexcept;
    void look_at_growth(const ImageRequest& request) noexcept;
    bool cut_at_end(ImageRequest& request) const noexcept;
    void resize_device(std::uint64_t size_sectors, ImageRequest& request) noexcept;
    void start_read(ImageRequest& request) noexcept;
    void start_write(ImageRequest& request) noexcept;
    friend class FileSync<RawDriver>;
    FileSync<RawDriver>& file_sync() noexcept { return sync_; }
    void synced(ImageRequest& request, std::error_code error) noexcept;
    void start_discard(ImageRequest& request) noexcept;
    static void transfer_completed(IoOp& io) noexcept;

    // Jobs.
    std::error_code read_misaligned(ImageRequest& request) noexcept;
    std::error_code write_first(ImageRequest& request) noexcept;
    std::error_code write_misaligned(ImageRequest& request) noexcept;
    std::error_code discard(ImageRequest& request) noexcept;

    RawImage image_;
    IoQueue& io_;
    WorkerPool& workers_;
    BounceBuffer bounce_;
    FileSync<RawDriver> sync_;
    std::optional<FileGrowth> growth_;  ///< of a file
    /// A resize under way.
    ImageRequest resize_{};
    ImageRequest* resize_asked_ = nullptr;
    std::uint64_t resize_sectors_ = 0;
};

/// Opens "raw:PATH"; options buffered=yes|no and size=SIZE. An OpenImage.
std::unique_ptr<ImageDriver> open_raw_image(const ImageSpec& spec, const DriverContext& context);

}  // namespace blktap
