// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/writer.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>

#include "drivers/vhd/end_writing.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::vhd {

Writer::Writer(Image& image)
    : image_(image),
      allocator_(image.top()),
      file_end_(image),
      plan_(image.top(), image.cache(), allocator_),
      committer_(image, plan_) {}

void Writer::finish() noexcept {
    // With a stuck group the file may have entries that memory does not, so the end of the used part is unknown.
    if (!committer_.broken() && !committer_.stuck()) end_writing(image_.top());
}

void Writer::change(tables::Task& task) noexcept {
    if (task.request->request.kind == ImageRequest::Kind::discard) return discard_step(static_cast<Task&>(task));
    step(static_cast<Task&>(task));
}

void Writer::step(Task& task) noexcept {
    if (task.at == task.end) return commit(task);
    const Layer& layer = image_.top();
    if (layer.raw) {
        task.length = task.end - task.at;
        task.sets_bits = task.transfer.fresh = false;
        return write_data(task, task.at);
    }
    const std::uint64_t block = task.at / layer.block_bytes();
    const std::uint64_t length = std::min(task.end, (block + 1) * layer.block_bytes()) - task.at;
    if (layer.allocated(block)) return write_to_old(task, length);
    write_to_new(task, length);
}

/// Writes all sectors at once, whatever their bits: setting a bit twice does no harm.
void Writer::write_to_old(Task& task, std::uint64_t length) noexcept {
    const Layer& layer = image_.top();
    const std::uint64_t block = task.at / layer.block_bytes();
    const std::uint64_t skip = task.at & (layer.block_bytes() - 1);
    const Extent extent = look_up(image_.chain(), 0, image_.cache(), task.at, length);
    if (extent.kind == Extent::Kind::missing) {
        task.next = &then<&Writer::step>;
        return image_.load_slice(task, 0, extent.host_offset);
    }
    if (extent.kind != Extent::Kind::data && extent.kind != Extent::Kind::unallocated) {
        return end(task, Errc::image_invalid);
    }
    task.sets_bits = extent.kind == Extent::Kind::unallocated || extent.length < length;
    task.transfer.fresh = false;
    task.length = length;
    if (task.sets_bits && task.change_count == Task::changes_max) return commit(task);
    if (task.sets_bits && committer_.broken()) return end(task, committer_.broken());
    write_data(task, layer.data_offset(block) + skip);
}

void Writer::write_to_new(Task& task, std::uint64_t length) noexcept {
    const Layer& layer = image_.top();
    if (committer_.broken()) return end(task, committer_.broken());
    if (task.change_count == Task::changes_max) return commit(task);
    const auto place = allocator_.reserve(task.at / layer.block_bytes());
    if (!place) return end(task, place.error());
    task.sets_bits = task.transfer.fresh = true;
    task.length = length;
    const std::uint64_t end_bytes = place.value() + layer.bitmap_bytes() + layer.block_bytes();
    file_end_.look_ahead(task, end_bytes);
    // Another request may have brought the block into the table meanwhile, at the same offset.
    task.next = &then<&Writer::step>;
    if (!file_end_.reach(task, end_bytes)) return;
    const std::uint64_t skip = task.at & (layer.block_bytes() - 1);
    write_data(task, place.value() + layer.bitmap_bytes() + skip);
}

void Writer::write_data(Task& task, std::uint64_t host_offset) noexcept {
    task.transfer.data = task.window.take(task.length);
    task.transfer.write_at(host_offset);
    task.next = &then<&Writer::data_written>;
    image_.transfer(task);
}

void Writer::data_written(Task& task) noexcept {
    const Layer& layer = image_.top();
    if (task.sets_bits) {
        const std::uint64_t skip = task.at & (layer.block_bytes() - 1);
        task.changes[task.change_count++] = {task.at / layer.block_bytes(), skip / sector_size_bytes,
                                             task.length / sector_size_bytes};
    }
    task.window.drop();
    task.at += task.length;
    step(task);
}

void Writer::end(tables::Task& task, std::error_code error) noexcept {
    task.change_count = 0;
    file_end_.end_task(task, error);
}

void Writer::discard_step(Task& task) noexcept {
    const Layer& layer = image_.top();
    while (task.at < task.end) {
        if (layer.raw) {
            task.length = task.end - task.at;
            task.transfer.host_offset = task.at;
            return punch(task);
        }
        const std::uint64_t block = task.at / layer.block_bytes();
        task.length = std::min(task.end, (block + 1) * layer.block_bytes()) - task.at;
        if (layer.allocated(block)) {
            task.transfer.host_offset = layer.data_offset(block) + (task.at & (layer.block_bytes() - 1));
            return punch(task);
        }
        task.at += task.length;
    }
    end(task, {});
}

/// Punches a hole and keeps the bits: a hole reads as zeros, but a cleared bit would show the parent's sector.
void Writer::punch(Task& task) noexcept {
    task.job.run = [](WorkerJob& job) noexcept {
        Task& its_task = static_cast<Task&>(Task::of(job));
        const int fd = static_cast<Writer&>(*its_task.writer).image_.top().fd.get();
        for (;;) {
            its_task.job_error = {};
            const int done =
                ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                            static_cast<off_t>(its_task.transfer.host_offset), static_cast<off_t>(its_task.length));
            if (done == 0) return;
            its_task.job_error = last_system_error();
            if (its_task.job_error != std::errc::interrupted) return;
        }
    };
    task.job.done = [](WorkerJob& job) noexcept { then<&Writer::punched>(Task::of(job), Task::of(job).job_error); };
    image_.workers().start(task.job);
}

void Writer::punched(Task& task) noexcept {
    task.at += task.length;
    discard_step(task);
}

}  // namespace blktap::vhd
