// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/reader.hpp"

#include "libblktap/base/error.hpp"

namespace blktap::vhd {
namespace {

void piece_read(Task& task, std::error_code error) noexcept {
    if (error) return task.finished(task, error);
    task.window.drop();
    task.at += task.length;
    read_disk(task);
}

void slice_loaded(Task& task, std::error_code error) noexcept {
    if (error) return task.finished(task, error);
    read_disk(task);
}

void read_piece(Task& task, const Extent& extent) noexcept {
    task.next = &piece_read;
    task.length = extent.length;
    task.data = task.window.take(extent.length);
    task.writes = false;
    task.layer = extent.layer;
    task.host_offset = extent.host_offset;
    task.core->transfer(task);
}

}  // namespace

void read_disk(Task& task) noexcept {
    Core& core = *task.core;
    while (task.at < task.end) {
        const Extent extent = resolve(core.chain(), core.cache(), task.at, task.end - task.at);
        switch (extent.kind) {
            case Extent::Kind::data:
                return read_piece(task, extent);
            case Extent::Kind::missing:
                task.next = &slice_loaded;
                return core.load_slice(task, extent.layer, extent.host_offset);
            case Extent::Kind::zero:
                task.window.zero(extent.length);
                task.at += extent.length;
                break;
            case Extent::Kind::unallocated:
            case Extent::Kind::invalid:
                return task.finished(task, Errc::image_invalid);
        }
    }
    task.finished(task, {});
}

}  // namespace blktap::vhd
