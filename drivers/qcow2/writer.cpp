// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/writer.hpp"

#include <algorithm>

#include "drivers/qcow2/open_image.hpp"
#include "drivers/qcow2/table_io.hpp"
#include "libblktap/base/assert.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::qcow2 {

Writer::Writer(Image& image, std::span<Task> tasks)
    : image_(image),
      tasks_(tasks),
      map_(image.chain(), image.cache(), *image.refcounts()),
      file_end_(image),
      plan_(map_),
      committer_(image, plan_, this),
      filler_(image, map_) {}

void Writer::finish() noexcept {
    Refcounts& refcounts = map_.refcounts();
    for (const WriteMap::NewTable& table : map_.new_tables()) {
        const bool unused = table.host_offset != 0 && table.users == 0;
        if (unused) refcounts.release(table.host_offset >> image_.top().header.cluster_bits, 1);
    }
    if (committer_.broken()) return;
    try {
        write_refcounts(image_.top(), refcounts);
    } catch (const std::system_error& error) {
        // At worst, leaked clusters remain.
        log::warning("image.close", {{"image", image_.top().name}, {"reason", error.what()}});
        return;
    }
    file_end_.cut(refcounts.end() << image_.top().header.cluster_bits);
}

void Writer::change(tables::Task& task) noexcept {
    Task& ours = static_cast<Task&>(task);
    if (task.request->request.kind == ImageRequest::Kind::discard) return discard_step(ours);
    step(ours);
}

void Writer::step(Task& task) noexcept {
    if (task.at == task.end) return commit(task);
    const WriteStep found = map_.find(task.at, task.end - task.at);
    switch (found.kind) {
        case WriteStep::Kind::in_place:
            if (is_left_over(task.at, found.length)) return wait_for_left_over(task, found.length);
            return write_in_place(task, found);
        case WriteStep::Kind::allocate:
        case WriteStep::Kind::reuse:
            return begin_change(task, found);
        case WriteStep::Kind::missing:
            task.next = &then<&Writer::step>;
            return image_.load_slice(task, 0, found.host_offset);
        case WriteStep::Kind::drop:
        case WriteStep::Kind::nothing:
        case WriteStep::Kind::invalid:
            break;
    }
    end(task, Errc::image_invalid);
}

/// Whether these clusters are in a group that is left over, which waits for space or was given up.
bool Writer::left_over(std::uint64_t guest_cluster, std::uint64_t count) const noexcept {
    return committer_.stuck() && std::ranges::any_of(plan_.changes(), [=](const Change& change) {
               return change.overlaps(guest_cluster, count);
           });
}

/// An unfinished discard may have released these clusters already, in the file.
bool Writer::is_left_over(std::uint64_t offset, std::uint64_t length) const noexcept {
    const unsigned bits = image_.top().header.cluster_bits;
    const std::uint64_t first = offset >> bits;
    return left_over(first, ((offset + length - 1) >> bits) - first + 1);
}

void Writer::wait_for_left_over(Task& task, std::uint64_t length) noexcept {
    const unsigned bits = image_.top().header.cluster_bits;
    const std::uint64_t first = task.at >> bits;
    wait_for_clusters(task, first, ((task.at + length - 1) >> bits) - first + 1);
}

void Writer::write_in_place(Task& task, const WriteStep& found) noexcept {
    task.length = found.length;
    task.transfer.data = task.window.take(found.length);
    task.transfer.fresh = false;
    task.transfer.write_at(found.host_offset);
    task.next = &then<&Writer::data_written>;
    image_.transfer(task);
}

/// Whether another request is changing one of these clusters, or this request has an uncommitted change of one.
bool Writer::claimed(const Task& task, std::uint64_t first, std::uint64_t count) const noexcept {
    return std::ranges::any_of(tasks_, [&](const Task& other) {
        return &other != &task && std::ranges::any_of(other.pending(), [=](const Change& change) {
            return change.overlaps(first, count);
        });
    });
}

void Writer::wait_for_clusters(Task& task, std::uint64_t first, std::uint64_t count) noexcept {
    // A task with uncommitted clusters commits before it waits for others, which might wait for it.
    if (task.change_count > 0) return commit(task);
    task.next = &then<&Writer::change>;
    blocked_.push_back(task);
    if (left_over(first, count)) committer_.retry();
}

void Writer::begin_change(Task& task, const WriteStep& found) noexcept {
    const unsigned bits = image_.top().header.cluster_bits;
    Change change{found.kind == WriteStep::Kind::allocate ? Change::Kind::allocate : Change::Kind::reuse,
                  task.at >> bits,
                  found.clusters,
                  found.host_offset,
                  found.first_unit,
                  found.end_unit};
    if (const std::error_code broken = committer_.broken()) return end(task, broken);
    if (task.change_count == Task::changes_max) return commit(task);
    if (claimed(task, change.guest_cluster, change.count) || left_over(change.guest_cluster, change.count)) {
        return wait_for_clusters(task, change.guest_cluster, change.count);
    }
    task.transfer.fresh = false;
    if (change.kind == Change::Kind::allocate && !allocate(task, change)) {
        if (task.change_count > 0) return commit(task);
        return end(task, std::make_error_code(std::errc::no_space_on_device));
    }
    if (change.kind == Change::Kind::reuse && !map_.begin_use(change.guest_cluster)) {
        return end(task, Errc::image_invalid);
    }
    task.changes[task.change_count++] = change;
    task.length = std::min(task.end, map_.end_of(change)) - task.at;

    const std::uint64_t end_bytes = map_.file_end_for(change);
    // With a data file only the tables of the image grow.
    if (!map_.places_are_fixed()) file_end_.look_ahead(task, end_bytes);
    task.next = &then<&Writer::fill_clusters>;
    if (file_end_.reach(task, end_bytes)) fill_clusters(task);
}

/// Allocates clusters of the file for `change`, perhaps fewer than it wants, and an L2 table for their entries.
bool Writer::allocate(Task& task, Change& change) noexcept {
    if (!map_.begin_use(change.guest_cluster)) return false;
    if (map_.places_are_fixed()) {
        change.host_offset = change.guest_cluster << image_.top().header.cluster_bits;
        return true;
    }
    const auto run = map_.refcounts().allocate(change.count);
    if (!run) {
        map_.end_use(change.guest_cluster);
        return false;
    }
    // With fewer clusters the last one, which was in the middle, is filled to its end.
    if (run->count < change.count) change.end_unit = static_cast<std::uint32_t>(image_.top().units_per_cluster());
    change.count = run->count;
    change.host_offset = run->first << image_.top().header.cluster_bits;
    task.transfer.fresh = run->fresh;
    return true;
}

/// Called when the file has room for the newest change.
void Writer::fill_clusters(Task& task) noexcept {
    filler_.fill(task, &then<&Writer::write_data>);
}

void Writer::write_data(Task& task) noexcept {
    const Change& change = task.newest_change();
    task.transfer.data = task.window.take(task.length);
    task.transfer.write_at(change.host_offset + (task.at - (change.guest_cluster << image_.top().header.cluster_bits)));
    task.next = &then<&Writer::data_written>;
    image_.transfer(task);
}

void Writer::data_written(Task& task) noexcept {
    task.window.drop();
    task.at += task.length;
    step(task);
}

void Writer::discard_step(Task& task) noexcept {
    const unsigned bits = image_.top().header.cluster_bits;
    while (task.at < task.end) {
        const std::uint64_t first = task.at >> bits;
        const WriteStep found = map_.find_discard(first, (task.end - task.at) >> bits);
        if (found.kind == WriteStep::Kind::missing) {
            task.next = &then<&Writer::discard_step>;
            return image_.load_slice(task, 0, found.host_offset);
        }
        if (found.kind == WriteStep::Kind::drop) {
            if (task.change_count == Task::changes_max) return commit(task);
            if (claimed(task, first, found.clusters) || left_over(first, found.clusters)) {
                return wait_for_clusters(task, first, found.clusters);
            }
            task.changes[task.change_count++] = {Change::Kind::discard, first, found.clusters, 0};
        }
        task.at += found.clusters << bits;
    }
    commit(task);
}

void Writer::undo(Task& task) noexcept {
    for (const Change& change : task.pending()) {
        if (change.kind == Change::Kind::discard) continue;
        map_.end_use(change.guest_cluster);
        if (change.kind != Change::Kind::allocate || map_.places_are_fixed()) continue;
        map_.refcounts().release(change.host_offset >> image_.top().header.cluster_bits, change.count);
    }
    task.change_count = 0;
}

void Writer::end(tables::Task& task, std::error_code error) noexcept {
    const bool undone = error && task.change_count > 0;
    undo(static_cast<Task&>(task));
    if (undone) go_on_all(blocked_, {});
    file_end_.end_task(task, error);
}

/// Fails tasks that wait for a group that is left over again.
void Writer::group_over(std::error_code error) noexcept {
    go_on_all(blocked_, error);
}

}  // namespace blktap::qcow2
