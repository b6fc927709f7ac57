// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Qcow2Driver: a disk in a qcow2 image, with its backing files. A request whose clusters are where the tables in memory
// say, one behind the other, is one operation on the queue, as with a raw image; every other becomes a Task, which
// reads tables, copies and allocates as it needs to.
//
// User's view: docs/man/tapdisk-qcow2.7.scd. Rules on disk: docs/formats/qcow2.md. Tested by
// tests/unit/qcow2/qcow2_driver_test.cpp and tests/property/qcow2_property_test.cpp.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include <boost/intrusive/slist.hpp>

#include "drivers/qcow2/core.hpp"
#include "drivers/qcow2/resize.hpp"
#include "drivers/qcow2/writer.hpp"
#include "drivers/shared/file_sync.hpp"

namespace blktap::qcow2 {

class Qcow2Driver final : public ImageDriver {
  public:
    /// Requests that are tasks at once; more wait.
    static constexpr std::size_t tasks_max = 256;

    /// Lifetime: what `context` refers to must outlive the driver. Errors: throws std::system_error (ENOMEM).
    Qcow2Driver(OpenedImage image, const DriverContext& context, std::uint64_t cache_bytes);
    /// Blocks: the last refcounts are written.
    ~Qcow2Driver() override;

    const ImageInfo& info() const noexcept override { return info_; }
    void start(ImageRequest& request) noexcept override;
    void resize(std::uint64_t size_sectors, ImageRequest& request) noexcept override;
    int space_fd() const noexcept override;
    std::uint64_t least_file_bytes() const noexcept override { return writer_ ? least_data_bytes(core_.top()) : 0; }
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

    friend class FileSync<Qcow2Driver>;
    FileSync<Qcow2Driver>& file_sync() noexcept { return sync_; }
    void synced(ImageRequest& request, std::error_code error) noexcept;

    ImageInfo info_;
    std::vector<Task> tasks_;
    std::vector<Task*> free_tasks_;
    RequestList waiting_;    ///< for a task
    bool starting_ = false;  ///< start_waiting() runs
    Core core_;
    FileSync<Qcow2Driver> sync_;
    std::optional<Writer> writer_;
    std::optional<Resize> resize_;
};

/// Opens "qcow2:PATH"; options buffered=yes|no, metadata-cache=SIZE and data-file=PATH. An OpenImage.
std::unique_ptr<ImageDriver> open_qcow2_image(const ImageSpec& spec, const DriverContext& context);

}  // namespace blktap::qcow2
