// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Filling new clusters, or subclusters: around the guest's data they get what the disk had there, from the backing file
// or the cluster that is replaced, or zeros, unless they read as zeros already.
#include <algorithm>
#include <cstring>

#include "drivers/qcow2/writer.hpp"
#include "drivers/tables/table_driver.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::qcow2 {

/// The file has room for the newest change of `task`.
void Writer::prepare_clusters(Task& task) noexcept {
    const Change& change = task.changes[task.change_count - 1];
    const std::uint32_t unit = image_.top().offset_alignment;
    task.copy_at = map_.begin_of(change);
    task.copy_end = task.at;
    task.tail_copied = false;
    if (!is_aligned(task.at, unit) || !is_aligned(task.at + task.length, unit)) {
        // The data shares blocks with what is copied: first all is copied, then the data is written over it.
        task.copy_end = map_.end_of(change);
        task.tail_copied = true;
    }
    copy_old(task);
}

/// [copy_at, copy_end), then what is behind the data, then the data.
void Writer::copy_old(Task& task) noexcept {
    for (;;) {
        if (task.copy_at == task.copy_end && !task.tail_copied) {
            const Change& change = task.changes[task.change_count - 1];
            task.copy_at = task.at + task.length;
            task.copy_end = map_.end_of(change);
            task.tail_copied = true;
        }
        if (task.copy_at == task.copy_end) return write_data(task);
        const std::uint64_t length = std::min<std::uint64_t>(task.copy_end - task.copy_at, buffer_bytes);
        task.extent = resolve(image_.chain(), 0, image_.cache(), task.copy_at, length);
        if (task.extent.kind != Extent::Kind::zero || !task.fresh) return use_extent(task);
        task.copy_at += task.extent.length;
    }
}

void Writer::use_extent(Task& task) noexcept {
    const Extent::Kind kind = task.extent.kind;
    if (kind == Extent::Kind::invalid || kind == Extent::Kind::unallocated) return end(task, Errc::image_invalid);
    task.next = &then<&Writer::copy_old>;
    if (kind == Extent::Kind::missing) return image_.load_slice(task, task.extent.layer, task.extent.host_offset);
    if (!take_buffer(task)) return;  // and copy_old() again, when there is one
    task.buffer_entry = {task.buffer.data(), task.extent.length};
    task.data = {&task.buffer_entry, 1};
    if (kind == Extent::Kind::zero) {
        std::memset(task.buffer.data(), 0, task.extent.length);
        return write_buffer(task);
    }
    task.next = &then<&Writer::write_buffer>;
    task.driver->fetch(task);
}

bool Writer::take_buffer(Task& task) noexcept {
    if (!task.buffer.empty()) return true;
    if (free_buffers_.empty()) {
        buffer_wait_.push_back(task);
        return false;
    }
    task.buffer = free_buffers_.back();
    free_buffers_.pop_back();
    return true;
}

void Writer::give_back_buffer(Task& task) noexcept {
    if (task.buffer.empty()) return;
    free_buffers_.push_back(std::exchange(task.buffer, {}));
    if (buffer_wait_.empty()) return;
    tables::Task& next = take_first(buffer_wait_);
    next.next(next, {});
}

void Writer::write_buffer(Task& task) noexcept {
    const Change& change = task.changes[task.change_count - 1];
    const std::uint64_t begin = change.guest_cluster << image_.top().header.cluster_bits;
    task.buffer_entry = {task.buffer.data(), task.extent.length};
    task.data = {&task.buffer_entry, 1};
    task.writes = true;
    task.layer = 0;
    task.host_offset = change.host_offset + (task.copy_at - begin);
    task.next = &then<&Writer::buffer_written>;
    image_.transfer(task);
}

void Writer::buffer_written(Task& task) noexcept {
    task.copy_at += task.extent.length;
    copy_old(task);
}

void Writer::write_data(Task& task) noexcept {
    const Change& change = task.changes[task.change_count - 1];
    give_back_buffer(task);
    task.data = task.window.take(task.length);
    task.writes = true;
    task.layer = 0;
    task.host_offset = change.host_offset + (task.at - (change.guest_cluster << image_.top().header.cluster_bits));
    task.next = &then<&Writer::data_written>;
    image_.transfer(task);
}

}  // namespace blktap::qcow2
