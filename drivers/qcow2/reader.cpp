// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/reader.hpp"

#include "libblktap/base/error.hpp"

namespace blktap::qcow2 {
namespace {

void piece_read(Task& task, std::error_code error) noexcept {
    if (error) return task.finished(task, error);
    task.window.drop();
    task.at += task.extent.length;
    read_disk(task);
}

void slice_loaded(Task& task, std::error_code error) noexcept {
    if (error) return task.finished(task, error);
    read_disk(task);
}

void read_piece(Task& task) noexcept {
    task.next = &piece_read;
    task.data = task.window.take(task.extent.length);
    task.writes = false;
    task.layer = task.extent.layer;
    task.host_offset = task.extent.host_offset;
    if (task.extent.kind == Extent::Kind::compressed) return task.core->decompress(task);
    task.core->transfer(task);
}

}  // namespace

void read_disk(Task& task) noexcept {
    Core& core = *task.core;
    while (task.at < task.end) {
        task.extent = resolve(core.chain(), 0, core.cache(), task.at, task.end - task.at);
        switch (task.extent.kind) {
            case Extent::Kind::data:
            case Extent::Kind::compressed:
                return read_piece(task);
            case Extent::Kind::missing:
                task.next = &slice_loaded;
                return core.load_slice(task, task.extent.layer, task.extent.host_offset);
            case Extent::Kind::zero:
                task.window.zero(task.extent.length);
                task.at += task.extent.length;
                break;
            case Extent::Kind::unallocated:
            case Extent::Kind::invalid:
                return task.finished(task, Errc::image_invalid);
        }
    }
    task.finished(task, {});
}

}  // namespace blktap::qcow2
