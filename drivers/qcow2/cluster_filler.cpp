// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/cluster_filler.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "drivers/tables/table_driver.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::qcow2 {

ClusterFiller::ClusterFiller(Image& image, const WriteMap& map)
    : image_(image), map_(map), buffers_(Mapping::anonymous(buffers_max * buffer_bytes)) {
    for (std::size_t i = 0; i < buffers_max; ++i)
        free_buffers_.push_back(buffers_.bytes().subspan(i * buffer_bytes, buffer_bytes));
}

void ClusterFiller::fill(Task& task, tables::Task::Next filled) noexcept {
    const Change& change = task.newest_change();
    const std::uint32_t unit = image_.top().offset_alignment;
    task.copy.filler = this;
    task.copy.filled = filled;
    task.copy.at = map_.begin_of(change);
    task.copy.end = task.at;
    task.copy.tail_copied = false;
    if (!is_aligned(task.at, unit) || !is_aligned(task.at + task.length, unit)) {
        // The data shares blocks with the old contents: copy these first, then write the data over them.
        task.copy.end = map_.end_of(change);
        task.copy.tail_copied = true;
    }
    copy_old(task);
}

/// Copies [copy.at, copy.end), then the part behind the data.
void ClusterFiller::copy_old(Task& task) noexcept {
    for (;;) {
        if (task.copy.at == task.copy.end && !task.copy.tail_copied) {
            task.copy.at = task.at + task.length;
            task.copy.end = map_.end_of(task.newest_change());
            task.copy.tail_copied = true;
        }
        if (task.copy.at == task.copy.end) return end(task, {});
        const std::uint64_t length = std::min<std::uint64_t>(task.copy.end - task.copy.at, buffer_bytes);
        task.extent = resolve(image_.chain(), 0, image_.cache(), task.copy.at, length);
        if (task.extent.kind != Extent::Kind::zero || !task.transfer.fresh) return use_extent(task);
        task.copy.at += task.extent.length;
    }
}

void ClusterFiller::use_extent(Task& task) noexcept {
    const Extent::Kind kind = task.extent.kind;
    if (kind == Extent::Kind::invalid || kind == Extent::Kind::unallocated) return end(task, Errc::image_invalid);
    task.next = &then<&ClusterFiller::copy_old>;
    if (kind == Extent::Kind::missing) return image_.load_slice(task, task.extent.layer, task.extent.host_offset);
    if (!take_buffer(task)) return;  // copy_old() runs again when a buffer is free
    task.copy.entry = {task.copy.buffer.data(), task.extent.length};
    task.transfer.data = {&task.copy.entry, 1};
    if (kind == Extent::Kind::zero) {
        std::memset(task.copy.buffer.data(), 0, task.extent.length);
        return write_buffer(task);
    }
    task.next = &then<&ClusterFiller::write_buffer>;
    task.driver->fetch(task);
}

bool ClusterFiller::take_buffer(Task& task) noexcept {
    if (!task.copy.buffer.empty()) return true;
    if (free_buffers_.empty()) {
        buffer_wait_.push_back(task);
        return false;
    }
    task.copy.buffer = free_buffers_.back();
    free_buffers_.pop_back();
    return true;
}

void ClusterFiller::give_back_buffer(Task& task) noexcept {
    if (task.copy.buffer.empty()) return;
    free_buffers_.push_back(std::exchange(task.copy.buffer, {}));
    if (buffer_wait_.empty()) return;
    tables::Task& next = take_first(buffer_wait_);
    next.next(next, {});
}

void ClusterFiller::write_buffer(Task& task) noexcept {
    const Change& change = task.newest_change();
    const std::uint64_t begin = change.guest_cluster << image_.top().header.cluster_bits;
    task.copy.entry = {task.copy.buffer.data(), task.extent.length};
    task.transfer.data = {&task.copy.entry, 1};
    task.transfer.write_at(change.host_offset + (task.copy.at - begin));
    task.next = &then<&ClusterFiller::buffer_written>;
    image_.transfer(task);
}

void ClusterFiller::buffer_written(Task& task) noexcept {
    task.copy.at += task.extent.length;
    copy_old(task);
}

void ClusterFiller::end(Task& task, std::error_code error) noexcept {
    give_back_buffer(task);
    task.copy.filled(task, error);
}

}  // namespace blktap::qcow2
