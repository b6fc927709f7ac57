// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// TableDriver: the engine of a format with tables that map the disk to a file. A request whose bytes are contiguous and
// mapped by tables in memory is one operation on the queue, as with a raw image; every other becomes a Task, which
// reads tables, copies and allocates as necessary. The format does the look-ups, once for each request or task, not for
// each sector.
//
// Tested by the tests of the formats: tests/unit/qcow2, tests/unit/vhd.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "drivers/shared/closing_job.hpp"
#include "drivers/shared/file_sync.hpp"
#include "drivers/tables/committer.hpp"
#include "drivers/tables/image_io.hpp"
#include "drivers/tables/table_writer.hpp"

namespace blktap::tables {

class TableDriver;
/// A request's scratch.
using TableRequest = FileRequestOf<TableDriver>;

class TableDriver : public ImageDriver {
  public:
    /// Most tasks at once; further requests wait.
    static constexpr std::size_t tasks_max = 256;

    ~TableDriver() override;

    const ImageInfo& info() const noexcept override { return info_; }
    ScratchSize scratch_size() const noexcept override { return ScratchSize::of<TableRequest>(); }
    void make_scratch(ImageRequest& request) noexcept override { request.make_scratch<TableRequest>(request, *this); }
    void end_scratch(ImageRequest& request) noexcept override { request.end_scratch<TableRequest>(); }
    void start(ImageRequest& request) noexcept override;
    void resize(std::uint64_t size_sectors, ImageRequest& request) noexcept override;
    std::optional<SpaceSource> space() const noexcept override;
    ImageActivity activity() const noexcept override;
    void close(Closed closed) noexcept override;

    /// Starts `request` as a task, without the checks of start(); also behind the disk's end.
    void start_task(TableRequest& request) noexcept;
    /// Completes the request of `task`, which must have one.
    void end_task(Task& task, std::error_code error) noexcept;
    /// Brings what task.extent, of Kind::data or compressed, describes into task.transfer.data; then calls task.next.
    void fetch(Task& task) noexcept;
    /// Completes a resize; the top layer has the disk's size.
    void end_resize(ImageRequest& request, std::error_code error) noexcept;

  protected:
    /// `image`: with all its files. Errors: throws std::bad_alloc.
    TableDriver(const ImageInfo& info, std::unique_ptr<ImageIo> image);

    ImageIo& image() noexcept { return *image_; }
    /// Gives the driver its tasks_max tasks, which outlive every request. Setup only.
    template <class FormatTask>
    void use_tasks(std::span<FormatTask> tasks) noexcept {
        for (FormatTask& task : tasks)
            add_task(task);
    }
    /// Makes the image writable through these. Lifetime: both outlive every request. Setup only.
    void write_with(TableWriter& writer, Resizer& resizer) noexcept;
    bool writable() const noexcept { return writer_ != nullptr; }

    /// Returns where the first part of `length` bytes at `offset` is read from, through all images of the chain. Never
    /// Kind::unallocated.
    virtual Extent find(std::uint64_t offset, std::uint64_t length) noexcept = 0;
    /// Returns where the first part may be written in place, in the image that the guest writes; another Kind than data
    /// if it cannot be written at once.
    virtual Extent find_in_place(std::uint64_t offset, std::uint64_t length) noexcept = 0;
    /// Fills `data` from an extent of Kind::compressed. Context: a worker's thread; blocks.
    virtual std::error_code decompress(const Extent& extent, std::span<const iovec> data) noexcept;
    /// Returns the least length of the file that is written. Only for a writable image.
    virtual std::uint64_t least_file_bytes() const noexcept = 0;

  private:
    bool start_read_at_once(TableRequest& request) noexcept;
    bool start_write_at_once(TableRequest& request) noexcept;
    void add_task(Task& task) noexcept;
    void start_waiting() noexcept;
    void run_task(Task& task, TableRequest& request) noexcept;

    void read(Task& task) noexcept;
    void read_piece(Task& task) noexcept;

    static void synced(FileRequest& request, std::error_code error) noexcept;

    ImageInfo info_;
    const std::unique_ptr<ImageIo> image_;
    std::vector<Task*> free_tasks_;
    WaitingRequests waiting_;  ///< requests that wait for a task
    bool starting_ = false;    ///< start_waiting() runs
    FileSync sync_;
    TableWriter* writer_ = nullptr;  ///< null: the image is only read
    Resizer* resizer_ = nullptr;
    ClosingJob closing_;
};

}  // namespace blktap::tables
