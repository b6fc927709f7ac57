// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// TableWriter: the steps of a write or discard that all formats share. A format's own steps are in a class derived from
// this one.
//
// Tested by the tests of the formats: tests/unit/qcow2, tests/unit/vhd.
#pragma once

#include "drivers/tables/committer.hpp"
#include "drivers/tables/file_end.hpp"
#include "drivers/tables/task.hpp"

namespace blktap::tables {

class TableWriter {
  public:
    TableWriter(const TableWriter&) = delete;
    TableWriter& operator=(const TableWriter&) = delete;

    /// Writes [task.at, task.end) from task.window, or discards it (whole granules), as task.request demands; then ends
    /// the task. Called again, it continues where the task stopped.
    virtual void change(Task& task) noexcept = 0;
    /// Writes the image's last metadata when it is closed. No request is under way, and none follows. Context: a
    /// worker's thread; blocks.
    virtual void finish() noexcept = 0;
    virtual Committer& committer() noexcept = 0;
    virtual FileEnd& file_end() noexcept = 0;

  protected:
    TableWriter() = default;
    ~TableWriter() = default;

    /// Undoes the task's uncommitted changes, and ends it.
    virtual void end(Task& task, std::error_code error) noexcept = 0;
    /// Commits the task's changes so far; then the task continues, or ends.
    void commit(Task& task) noexcept;

    /// A Task::Next that continues with `step`, a function of the format's writer that takes the format's task, or ends
    /// the task after an error.
    template <auto step>
    static void then(Task& task, std::error_code error) noexcept {
        if (error) return task.writer->end(task, error);
        Call<step>::run(task);
    }

  private:
    template <auto step>
    struct Call;
    template <class Writer, class FormatTask, void (Writer::*step)(FormatTask&) noexcept>
    struct Call<step> {
        static void run(Task& task) noexcept {
            (static_cast<Writer&>(*task.writer).*step)(static_cast<FormatTask&>(task));
        }
    };
    void committed(Task& task) noexcept;
};

/// Makes the disk of an image that is written larger.
class Resizer {
  public:
    Resizer(const Resizer&) = delete;
    Resizer& operator=(const Resizer&) = delete;

    /// Grows the disk to `size_sectors`, which is at least its current size, then calls TableDriver::end_resize().
    /// One at a time. With an error the size has not changed.
    virtual void start(std::uint64_t size_sectors, ImageRequest& request) noexcept = 0;

  protected:
    /// The part of a format's resize that a worker does.
    template <class Resize>
    struct Job : WorkerJob {
        Resize* resize = nullptr;
    };

    Resizer() = default;
    ~Resizer() = default;
};

}  // namespace blktap::tables
