// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/resize.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include "drivers/shared/blocking_io.hpp"
#include "drivers/vhd/table_io.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::vhd {

namespace {

/// Visits blocks behind the disk's end, left by a program that made the image smaller: the larger disk must not show
/// them.
template <class Visit>
void for_each_left_behind(const Layer& layer, std::uint64_t blocks, Visit visit) {
    const std::uint64_t known = std::min<std::uint64_t>(blocks, layer.header.table_entries);
    for (std::uint64_t block = layer.block_count(); block < known; ++block) {
        if (layer.allocated(block)) visit(block);
    }
}

}  // namespace

Resize::Resize(tables::TableDriver& driver, Image& image, Writer& writer) noexcept
    : driver_(driver), image_(image), writer_(writer) {
    job_.resize = this;
    job_.run = [](WorkerJob& job) noexcept {
        Resize& self = *static_cast<Job<Resize>&>(job).resize;
        self.error_ = self.write();
    };
    job_.done = [](WorkerJob& job) noexcept { static_cast<Job<Resize>&>(job).resize->done(); };
    room_.resize = this;
    room_.next = [](tables::Task& task, std::error_code error) noexcept {
        Resize& self = *static_cast<OwnTask&>(task).resize;
        if (error) return self.driver_.end_resize(*self.request_, error);
        self.writer_.committer().run_exclusively(self.job_);
    };
}

void Resize::start(std::uint64_t size_sectors, ImageRequest& request) noexcept {
    if (size_sectors > disk_bytes_max / sector_size_bytes) {
        return driver_.end_resize(request, std::make_error_code(std::errc::invalid_argument));
    }
    size_bytes_ = size_sectors * sector_size_bytes;
    request_ = &request;
    entries_ = 0;
    left_behind_.clear();
    table_named_ = syncing_ = false;
    if (const std::error_code error = prepare()) return driver_.end_resize(request, error);
    make_room();
}

/// Checks that the resize is possible, and allocates its memory.
std::error_code Resize::prepare() noexcept {
    const Layer& layer = image_.top();
    const std::error_code unsupported = std::make_error_code(std::errc::operation_not_supported);
    if (const std::error_code broken = writer_.committer().broken()) return broken;
    if (layer.raw) {
        const bool moves = size_bytes_ > layer.file_end;
        const bool possible = image_.top().growable && layer.offset_alignment == sector_size_bytes;
        return moves && !possible ? unsupported : std::error_code{};
    }
    // A parent that is larger than the old disk would show its data behind the old end.
    const bool shows_parent = image_.chain().size() > 1 && image_.chain()[1].size_bytes > layer.size_bytes;
    if (shows_parent && size_bytes_ > layer.size_bytes) return unsupported;
    const std::uint64_t blocks = (size_bytes_ - 1) / layer.block_bytes() + 1;
    try {
        std::uint64_t left_behind = 0;
        for_each_left_behind(layer, blocks, [&](std::uint64_t) { ++left_behind; });
        const std::uint64_t pieces = blocks * (layer.bitmap_bytes() / sector_size_bytes);
        const bool longer = blocks > layer.header.table_entries;
        count_memory(left_behind * 8 + (pieces / 64 + 1) * 8 + (longer ? blocks * (4 + writing_bytes_per_entry) : 0));
        left_behind_.reserve(left_behind);
        for_each_left_behind(layer, blocks, [&](std::uint64_t block) { left_behind_.push_back(block); });
        full_ = LazyArray<std::uint64_t>{pieces / 64 + 1};
        if (!longer) return {};
        // XenServer expects its map right behind the table, so the table cannot move.
        if (layer.footer.creator() == "tap" || blocks > table_entries_max) return unsupported;
        entries_ = static_cast<std::uint32_t>(blocks);
        reserved_ = Allocator::longer(entries_);
    } catch (const std::system_error& error) {
        return error.code();
    } catch (const std::bad_alloc&) {
        return std::make_error_code(std::errc::not_enough_memory);
    }
    const auto place = writer_.allocator().take(entries_ * 4ULL);
    if (!place) return place.error();
    table_offset_ = place.value();
    return {};
}

/// Counts memory for the larger disk in addition to the old one's: for a moment both exist.
void Resize::count_memory(std::uint64_t bytes) {
    MemoryBudget& memory = image_.memory();
    memory.give_back(std::exchange(counted_bytes_, 0));
    memory.take(bytes, image_.top().name, "its tables for a larger disk");
    counted_bytes_ = bytes;
}

/// Makes room for the table, and removes the footer at the file's end, which would give the old size after a crash.
void Resize::make_room() noexcept {
    const Layer& layer = image_.top();
    std::uint64_t needed = 0;
    end_footer_ = layer.end_footer && !image_.top().growable;
    if (entries_ > 0) needed = table_offset_ + round_up(entries_ * 4ULL, Allocator::data_alignment);
    if (!layer.raw && layer.end_footer && image_.top().growable) {
        needed = std::max(needed, layer.file_end + Allocator::data_alignment);
    }
    if (!writer_.file_end().reach(room_, needed)) return;
    writer_.committer().run_exclusively(job_);
}

/// Context: a worker's thread, while no group is under way.
std::error_code Resize::write() noexcept {
    // The stuck group would write its entries to the old table later.
    if (writer_.committer().stuck()) return std::make_error_code(std::errc::no_space_on_device);
    if (const auto error = require_length(image_.top().fd.get(), least_file_bytes(image_.top()))) return error;
    try {
        footer_ = image_.top().footer;
        footer_.set_disk_bytes(size_bytes_);
        if (image_.top().raw) {
            write_fixed();
        } else {
            clear_last_block();
            if (entries_ > 0) {
                write_table();
            } else {
                forget_left_behind();
            }
            write_footers();
        }
        return {};
    } catch (const std::system_error& error) {
        return error.code();
    }
}

void Resize::write_fixed() {
    const Layer& layer = image_.top();
    const std::uint64_t old_footer = layer.file_end;
    if (size_bytes_ <= old_footer) {
        clear(layer.size_bytes, size_bytes_);
        sync();
        write_bytes(layer, old_footer, footer_.bytes());
        sync();
        return;
    }
    // After a crash the file has its old length, or ends with the new footer: a footer elsewhere does not count.
    write_bytes(layer, size_bytes_, footer_.bytes());
    sync();
    clear(layer.size_bytes, std::min(round_up(old_footer + footer_bytes, sector_size_bytes), size_bytes_));
    sync();
}

/// Zeroes a part of the file that the guest will see for the first time.
void Resize::clear(std::uint64_t begin, std::uint64_t end) const {
    if (begin >= end) return;
    if (const auto error = image_.write_zeros(begin, end)) throw_error(error, image_.top().name + ": cannot write");
}

/// Zeroes the part of the last block behind the disk's end.
void Resize::clear_last_block() {
    const Layer& layer = image_.top();
    const std::uint64_t block = layer.block_count() - 1;
    const std::uint64_t first = block * layer.block_bytes();
    if (!layer.allocated(block)) return;
    const std::uint64_t data = layer.data_offset(block);
    clear(data + (layer.size_bytes - first), data + std::min(layer.block_bytes(), size_bytes_ - first));
    sync();
}

/// Removes the entries of blocks behind the disk's end. Their space is lost.
void Resize::forget_left_behind() {
    const Layer& layer = image_.top();
    const auto unused = [] {
        std::array<std::byte, 4> bytes{};
        bytes.fill(std::byte{0xff});
        return bytes;
    }();
    for (const std::uint64_t block : left_behind_)
        write_bytes(layer, layer.header.table_offset + block * 4, unused);
    if (!left_behind_.empty()) sync();
}

void Resize::write_table() {
    const Layer& layer = image_.top();
    const std::uint64_t length = round_up(entries_ * 4ULL, Allocator::data_alignment);
    Mapping memory = Mapping::anonymous(length + page_size_bytes);
    std::ranges::fill(memory.bytes(), std::byte{0xff});
    const auto bytes = memory.bytes().first(length);
    table_ = BlockTable{std::move(memory), table_offset_, table_offset_};
    for (std::uint64_t block = 0; block < layer.block_count(); ++block)
        table_.set_entry(block, layer.table.entry(block));
    write_bytes(layer, table_offset_, bytes);
    sync();
    auto header = read_bytes(layer, layer.footer.data_offset(), header_bytes);
    set_table(header, table_offset_, entries_);
    // The changed fields are in the header's first sector.
    table_named_ = true;
    write_bytes(layer, layer.footer.data_offset(), std::span{header}.first(sector_size_bytes));
    sync();
}

/// Writes the footer at the file's end first, because that one holds.
void Resize::write_footers() {
    const Layer& layer = image_.top();
    if (end_footer_) {
        write_bytes(layer, layer.file_bytes - footer_bytes, footer_.bytes());
        sync();
    }
    write_bytes(layer, 0, footer_.bytes());
    sync();
}

void Resize::sync() {
    syncing_ = true;
    sync_file(image_.top());
    syncing_ = false;
}

void Resize::done() noexcept {
    if (!error_) {
        // The old tables are freed.
        counted_bytes_ = 0;
        if (entries_ > 0) {
            image_.memory().give_back(image_.top().header.table_entries * (4 + writing_bytes_per_entry));
        }
        Layer& layer = image_.top();
        if (layer.raw) {
            layer.file_end = std::max(layer.file_end, size_bytes_);
        } else {
            std::ranges::copy(layer.full.span().first(std::min(layer.full.size(), full_.size())), full_.data());
            layer.full = std::move(full_);
        }
        if (entries_ > 0) {
            layer.table = std::move(table_);
            layer.header.table_offset = table_offset_;
            layer.header.table_entries = entries_;
            writer_.allocator().use(std::move(reserved_));
        }
        for (const std::uint64_t block : left_behind_)
            layer.table.set_entry(block, entry_unused);
        layer.footer = footer_;
        if (!layer.raw) layer.table.keep_footer_copy(footer_.bytes());
        layer.size_bytes = size_bytes_;
    }
    // Unknown which table the header names: no entry may be written to either.
    if (error_ && table_named_) error_ = std::make_error_code(std::errc::io_error);
    // Otherwise a failed write has changed nothing that is in use.
    writer_.committer().end_exclusive(table_named_ || syncing_ ? error_ : std::error_code{});
    driver_.end_resize(*request_, error_);
}

}  // namespace blktap::vhd
