// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/tables/table_writer.hpp"

namespace blktap::tables {

void TableWriter::commit(Task& task) noexcept {
    if (task.change_count == 0) return end(task, {});
    task.next = &then<&TableWriter::committed>;
    committer().join(task);
}

void TableWriter::committed(Task& task) noexcept {
    task.change_count = 0;
    if (task.at == task.end) return end(task, {});
    change(task);
}

}  // namespace blktap::tables
