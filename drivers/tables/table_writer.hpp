// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// TableWriter: the steps of a write or discard that every format takes. The steps in between are the format's, in a
// class derived from this one.
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

    /// Writes [task.at, task.end) from task.window, or discards it, which are whole granules then, as task.request
    /// wants; then ends the task. Called again it goes on where the task stopped.
    virtual void change(Task& task) noexcept = 0;
    /// Writes what the image is left with when it is closed. Nothing is under way, and nothing comes after it. Context:
    /// a worker's thread; blocks.
    virtual void finish() noexcept = 0;
    virtual Committer& committer() noexcept = 0;
    virtual FileEnd& file_end() noexcept = 0;

  protected:
    TableWriter() = default;
    ~TableWriter() = default;

    /// Undoes what the task has changed and not committed, and ends it.
    virtual void end(Task& task, std::error_code error) noexcept = 0;
    /// What the task has changed so far becomes part of the image; then it goes on, or ends.
    void commit(Task& task) noexcept;

    /// A Task::Next: goes on with `step`, a function of the format's writer that takes the format's task; or ends the
    /// task.
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

    /// Makes the disk `size_sectors` long, which is at least its current size, then calls TableDriver::end_resize().
    /// One at a time. With an error the size has not changed.
    virtual void start(std::uint64_t size_sectors, ImageRequest& request) noexcept = 0;

  protected:
    Resizer() = default;
    ~Resizer() = default;
};

}  // namespace blktap::tables
