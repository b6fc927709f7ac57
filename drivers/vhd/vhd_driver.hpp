// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// VhdDriver: a disk in a VHD image, with its parents. A request that lies in one block whose bits are known is one
// operation on the queue, as with a raw image; every other becomes a Task, which reads bitmaps and allocates as it
// needs to.
//
// User's view: docs/man/tapdisk-vhd.7.scd. Rules on disk: docs/formats/vhd.md. Tested by
// tests/unit/vhd/vhd_driver_test.cpp and tests/property/vhd_property_test.cpp.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include <boost/intrusive/slist.hpp>

#include "drivers/shared/file_sync.hpp"
#include "drivers/vhd/core.hpp"
#include "drivers/vhd/resize.hpp"
#include "drivers/vhd/writer.hpp"

namespace blktap::vhd {

class VhdDriver final : public ImageDriver {
  public:
    /// Requests that are tasks at once; more wait.
    static constexpr std::size_t tasks_max = 256;

    /// Lifetime: what `context` refers to must outlive the driver. Errors: throws std::system_error (ENOMEM).
    VhdDriver(OpenedImage image, const DriverContext& context, std::uint64_t cache_bytes);
    /// Blocks: the footer is written.
    ~VhdDriver() override;

    const ImageInfo& info() const noexcept override { return info_; }
    void start(ImageRequest& request) noexcept override;
    void resize(std::uint64_t size_sectors, ImageRequest& request) noexcept override;
    int space_fd() const noexcept override;
    std::uint64_t least_file_bytes() const noexcept override {
        return writer_ ? vhd::least_file_bytes(core_.top()) : 0;
    }
    ImageActivity activity() const noexcept override { return writer_ ? writer_->activity() : ImageActivity{}; }

  private:
    using RequestList = boost::intrusive::slist<WorkerJob, boost::intrusive::cache_last<true>>;

    bool start_read_at_once(ImageRequest& request) noexcept;
    bool start_write_at_once(ImageRequest& request) noexcept;
    bool stage(ImageRequest& request, std::uint32_t layer, IoOp::Kind kind, std::uint64_t offset) noexcept;
    static void transfer_completed(IoOp& io) noexcept;

    void start_task(ImageRequest& request) noexcept;
    void start_waiting() noexcept;
    void run_task(Task& task, ImageRequest& request) noexcept;
    static void task_finished(Task& task, std::error_code error) noexcept;

    friend class FileSync<VhdDriver>;
    FileSync<VhdDriver>& file_sync() noexcept { return sync_; }
    void synced(ImageRequest& request, std::error_code error) noexcept;

    ImageInfo info_;
    std::vector<Task> tasks_;
    std::vector<Task*> free_tasks_;
    RequestList waiting_;    ///< for a task
    bool starting_ = false;  ///< start_waiting() runs
    Core core_;
    FileSync<VhdDriver> sync_;
    std::optional<Writer> writer_;
    std::optional<Resize> resize_;
};

/// Opens "vhd:PATH"; options buffered=yes|no and metadata-cache=SIZE. An OpenImage.
std::unique_ptr<ImageDriver> open_vhd_image(const ImageSpec& spec, const DriverContext& context);

}  // namespace blktap::vhd
