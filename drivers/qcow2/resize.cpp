// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/resize.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <new>
#include <unistd.h>
#include <utility>

#include "drivers/qcow2/table_io.hpp"
#include "drivers/shared/blocking_io.hpp"
#include "drivers/shared/bytes.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/units.hpp"

namespace blktap::qcow2 {
Resize::Resize(tables::TableDriver& driver, Image& image, Writer& writer) noexcept
    : driver_(driver), image_(image), writer_(writer) {
    task_.resize = this;
    job_.resize = this;
    job_.run = [](WorkerJob& job) noexcept {
        Resize& self = *static_cast<Job<Resize>&>(job).resize;
        try {
            self.error_ = self.write_tables();
        } catch (const std::system_error& error) {
            self.error_ = error.code();
        }
    };
    job_.done = [](WorkerJob& job) noexcept { static_cast<Job<Resize>&>(job).resize->done(); };
}

void Resize::start(std::uint64_t size_sectors, ImageRequest& request) noexcept {
    if (size_sectors > INT64_MAX / sector_size_bytes) {
        return driver_.end_resize(request, std::make_error_code(std::errc::invalid_argument));
    }
    plan_ = {.size_bytes = size_sectors * sector_size_bytes};
    if (plan_.size_bytes > image_.top().size_bytes && hides_backing_file()) {
        return driver_.end_resize(request, std::make_error_code(std::errc::operation_not_supported));
    }
    request_ = &request;
    header_begun_ = false;
    // A data file, where every cluster has a fixed offset, is cleared when the tables are written.
    if (plan_.size_bytes == image_.top().size_bytes || image_.top().header.external_data()) return begin_plan();
    look_at_last_cluster();
}

void Resize::ask(ImageRequest::Kind kind, std::uint64_t begin, std::uint64_t end,
                 void (Resize::*then)() noexcept) noexcept {
    own_.kind = kind;
    own_.range = {begin / sector_size_bytes, (end - begin) / sector_size_bytes};
    own_.then = then;
    own_.begin([](ImageRequest& request, std::error_code error, Retry) noexcept {
        const auto& own = static_cast<OwnRequest&>(request);
        if (error) return own.resize.give_up(error);
        (own.resize.*own.then)();
    });
    driver_.start_task(own_.ours);
}

/// Has the part of the last cluster behind the disk's end zeroed, if it is stored.
void Resize::look_at_last_cluster() noexcept {
    const Layer& layer = image_.top();
    if (is_aligned(layer.size_bytes, layer.cluster_bytes())) return forget_left_behind();
    const WriteStep found = writer_.map().find_discard(layer.size_bytes >> layer.header.cluster_bits, 1);
    if (found.kind == WriteStep::Kind::nothing) return forget_left_behind();
    if (found.kind != WriteStep::Kind::missing) return clear_last_cluster();
    task_.next = &then<&Resize::look_at_last_cluster>;
    image_.load_slice(task_, 0, found.host_offset);
}

void Resize::clear_last_cluster() noexcept {
    const std::uint64_t begin = image_.top().size_bytes;
    const std::uint64_t end = round_up(begin, image_.top().cluster_bytes());
    try {
        zeros_ = Mapping::anonymous(end - begin);
    } catch (const std::system_error& error) {
        return give_up(error.code());
    }
    zeros_entry_ = {zeros_.data(), end - begin};
    own_.data = {&zeros_entry_, 1};
    ask(ImageRequest::Kind::write, begin, end, &Resize::forget_left_behind);
}

/// Discards entries of clusters that only the larger disk has.
void Resize::forget_left_behind() noexcept {
    const Layer& layer = image_.top();
    zeros_ = {};
    own_.data = {};
    const std::uint64_t known = layer.l1.size() * layer.header.bytes_per_table();
    const std::uint64_t begin = round_up(layer.size_bytes, layer.cluster_bytes());
    const std::uint64_t end = std::min(round_up(plan_.size_bytes, layer.cluster_bytes()), known);
    if (begin >= end) return begin_plan();
    ask(ImageRequest::Kind::discard, begin, end, &Resize::begin_plan);
}

void Resize::begin_plan() noexcept {
    std::error_code error;
    try {
        error = make_plan();
    } catch (const std::system_error& thrown) {
        error = thrown.code();
    } catch (const std::bad_alloc&) {
        error = std::make_error_code(std::errc::not_enough_memory);
    }
    if (error) return give_up(error);
    if (plan_.wanted() == 0) return begin_writing();
    reach_places();
}

/// Whether the backing file has data behind the disk's end, which would appear where a guest expects zeros.
bool Resize::hides_backing_file() const noexcept {
    const Chain& chain = image_.chain();
    return chain.size() > 1 && chain[1].size_bytes > chain[0].size_bytes;
}

/// Extends the file over the new places and the blocks that count them, before a group writes their refcounts.
void Resize::reach_places() noexcept {
    const Refcounts& refcounts = *image_.refcounts();
    const std::uint64_t per_block = image_.top().cluster_bytes() * 8 >> image_.top().header.refcount_order;
    const std::uint64_t wanted = plan_.wanted();
    const std::uint64_t blocks = 2 * (wanted / per_block + 2);  // and blocks that count blocks
    task_.next = &then<&Resize::reach_places>;                  // other tasks may have used the room meanwhile
    const std::uint64_t end = (refcounts.fresh_begin() + wanted + blocks) << image_.top().header.cluster_bits;
    if (!writer_.file_end().reach(task_, end)) return;
    if (const std::error_code error = take_places()) return give_up(error);
    count_places();
}

/// Computes which tables the larger disk needs, and where.
std::error_code Resize::make_plan() {
    const Layer& layer = image_.top();
    Refcounts& refcounts = *image_.refcounts();
    const std::uint64_t cluster = layer.cluster_bytes();
    const std::uint64_t entries = (plan_.size_bytes - 1) / layer.header.bytes_per_table() + 1;
    plan_.l1_count = static_cast<std::uint32_t>(std::max<std::uint64_t>(entries, layer.l1.size()));
    plan_.l1 = {layer.header.l1_offset, round_up(layer.l1.size() * 8, cluster)};
    plan_.table = {refcounts.table().offset(), refcounts.table().size() * 8};
    if (entries > l1_bytes_max / 8) return std::make_error_code(std::errc::operation_not_supported);
    const std::uint64_t l1_clusters = entries * 8 > plan_.l1.length ? divide_up(entries * 8, cluster) : 0;
    if (!image_.top().growable) {
        // The present tables must suffice: they count all clusters of a device already.
        return l1_clusters == 0 ? std::error_code{} : std::make_error_code(std::errc::operation_not_supported);
    }
    plan_.clusters = most_clusters(layer, plan_.size_bytes) + l1_clusters;
    if (plan_.clusters > clusters_max) return std::make_error_code(std::errc::operation_not_supported);
    if (refcounts.extend(plan_.clusters) && l1_clusters == 0) return {};
    const std::uint64_t per_block = cluster * 8 >> layer.header.refcount_order;
    // The new table counts itself, with a reserve for the next resize.
    const std::uint64_t blocks = std::bit_ceil(round_up(divide_up(plan_.clusters, per_block) + 2, cluster / 8));
    const bool longer = blocks > refcounts.table().size() && refcounts.clusters_max() < plan_.clusters;
    if (longer && blocks * 8 > refcount_table_bytes_max)
        return std::make_error_code(std::errc::operation_not_supported);
    plan_.l1_wanted = l1_clusters;
    plan_.table_wanted = longer ? blocks * 8 / cluster : 0;
    // The old memory stays for the next attempt.
    MemoryBudget& memory = image_.memory();
    memory.give_back(std::exchange(counted_bytes_, 0));
    const std::uint64_t needed_bytes = plan_.l1_wanted * cluster + 2 * plan_.table_wanted * cluster;
    memory.take(needed_bytes, layer.name, "its tables for a larger disk");
    counted_bytes_ = needed_bytes;
    next_l1_.clear();
    next_l1_.reserve(plan_.l1_wanted * cluster / 8);
    next_table_.assign(plan_.table_wanted * cluster / 8, 0);
    // The present table counts the new places.
    refcounts.extend(std::min(plan_.clusters, refcounts.table().size() * per_block));
    return {};
}

std::error_code Resize::take_places() noexcept {
    Refcounts& refcounts = *image_.refcounts();
    const std::uint64_t cluster = image_.top().cluster_bytes();
    const auto first = refcounts.take_fresh(plan_.wanted());
    if (!first) return std::make_error_code(std::errc::operation_not_supported);
    plan_.moved_first = *first;
    plan_.moved_clusters = plan_.wanted();
    if (!refcounts.make_missing_blocks()) return std::make_error_code(std::errc::operation_not_supported);
    if (plan_.l1_wanted > 0) plan_.l1 = {plan_.moved_first * cluster, plan_.l1_wanted * cluster};
    if (plan_.table_wanted > 0)
        plan_.table = {(plan_.moved_first + plan_.l1_wanted) * cluster, plan_.table_wanted * cluster};
    return {};
}

/// Has groups write the refcounts of the new places, before anything points there.
void Resize::count_places() noexcept {
    if (image_.refcounts()->written(plan_.moved_first, plan_.moved_clusters)) return begin_writing();
    task_.next = &then<&Resize::count_places>;
    writer_.committer().join(task_);
}

void Resize::begin_writing() noexcept {
    writer_.committer().run_exclusively(
        job_, [](WorkerJob& job) noexcept { static_cast<Job<Resize>&>(job).resize->copy_table(); });
}

/// Copies the table as it is on disk: meanwhile the loop's thread may make refcount blocks that are not written yet.
void Resize::copy_table() noexcept {
    const Refcounts& refcounts = *image_.refcounts();
    if (plan_.table.offset == refcounts.table().offset()) return;
    for (std::size_t block = 0; block < refcounts.table().size(); ++block)
        next_table_[block] = refcounts.table().entry_on_disk(block);
}

/// Writes `words` from number `first` on, and zeros to the end of `place`.
void Resize::write_words(const Place& place, std::uint64_t first, std::span<const std::uint64_t> words) const {
    const Layer& layer = image_.top();
    const std::uint64_t per_piece = layer.slice_bytes() / 8;
    const Mapping memory = Mapping::anonymous(SliceCache::slice_bytes_max);
    const auto bytes = memory.bytes().first(layer.slice_bytes());
    for (std::uint64_t at = round_down(first, per_piece); at * 8 < place.length; at += per_piece) {
        for (std::uint64_t i = 0; i < per_piece; ++i)
            store<std::uint64_t>(bytes, i * 8, at + i < words.size() ? words[at + i] : 0);
        write_table(layer, place.offset + at * 8, bytes);
    }
}

/// Writes new entries before the header names them. No other code changes the L1 table meanwhile. Context: a worker's
/// thread.
std::error_code Resize::write_tables() {
    const Layer& layer = image_.top();
    // A stuck group has written entries, and will write them again, into the old tables.
    const tables::Committer& committer = writer_.committer();
    if (committer.broken()) return committer.broken();
    if (committer.stuck()) return std::make_error_code(std::errc::no_space_on_device);
    if (const auto error = require_length(layer.fd.get(), layer.file_end)) return error;
    if (layer.data_fd) {
        if (const auto error = require_length(layer.data_fd.get(), least_data_bytes(layer))) return error;
    }
    // Bytes of a data file behind the disk's end were never the guest's.
    const std::uint64_t data_end = std::min(round_up(layer.data_end(), sector_size_bytes), plan_.size_bytes);
    if (layer.data_fd && layer.size_bytes < data_end) {
        if (const auto error = image_.write_zeros(layer.size_bytes, data_end)) return error;
        if (::fdatasync(layer.data_fd.get()) != 0) return last_system_error();
    }
    const bool short_data = layer.data_fd && layer.data_end() < plan_.size_bytes;
    if (short_data && ::ftruncate(layer.data_fd.get(), static_cast<off_t>(plan_.size_bytes)) != 0)
        return last_system_error();
    const bool l1_moves = plan_.l1.offset != layer.header.l1_offset;
    if (l1_moves || plan_.l1_count > layer.l1.size()) write_words(plan_.l1, l1_moves ? 0 : layer.l1.size(), layer.l1);
    const bool table_moves = plan_.table.offset != layer.header.refcount_table_offset;
    if (table_moves) write_words(plan_.table, 0, next_table_);
    sync_tables(layer);
    // From the field `size` to the length of the refcount table, including crypt_method, which is 0.
    std::array<std::byte, 36> fields{};
    store<std::uint64_t>(fields, 0, plan_.size_bytes);
    store<std::uint32_t>(fields, 12, plan_.l1_count);
    store<std::uint64_t>(fields, 16, plan_.l1.offset);
    store<std::uint64_t>(fields, 24, plan_.table.offset);
    store<std::uint32_t>(fields, 32, static_cast<std::uint32_t>(plan_.table.length / layer.cluster_bytes()));
    header_begun_ = true;
    write_header_field(layer, header_offset::size_bytes, fields);
    sync_tables(layer);
    return {};
}

void Resize::done() noexcept {
    if (!error_) use_new_tables();
    // Once the header may have been written, the resize cannot be undone, whatever the error: nothing more is written.
    const bool unknown = error_ && header_begun_;
    writer_.committer().end_exclusive(unknown ? std::make_error_code(std::errc::io_error) : error_);
    if (error_) return give_up(error_);
    driver_.end_resize(*request_, {});
}

void Resize::use_new_tables() noexcept {
    Layer& layer = image_.top();
    Refcounts& refcounts = *image_.refcounts();
    const unsigned bits = layer.header.cluster_bits;
    if (plan_.l1.offset != layer.header.l1_offset) {
        next_l1_.assign(layer.l1.begin(), layer.l1.end());
        refcounts.release(layer.header.l1_offset >> bits, divide_up(layer.l1.size() * 8, layer.cluster_bytes()));
        layer.l1.swap(next_l1_);
        layer.header.l1_offset = plan_.l1.offset;
    }
    if (plan_.table.offset != refcounts.table().offset()) {
        const std::uint64_t old_offset = refcounts.table().offset();
        const std::uint64_t old_clusters = refcounts.table().size() * 8 >> bits;
        refcounts.table().move(plan_.table.offset, plan_.table.length / 8);
        refcounts.release(old_offset >> bits, old_clusters);
        layer.header.refcount_table_offset = plan_.table.offset;
        layer.header.refcount_table_clusters = static_cast<std::uint32_t>(plan_.table.length >> bits);
        try {
            refcounts.extend(plan_.clusters);
        } catch (const std::system_error&) {  // no memory: the new part gets no clusters until the image is reopened
        }
    }
    layer.l1.resize(plan_.l1_count);
    layer.size_bytes = layer.header.size_bytes = plan_.size_bytes;
    layer.data_file_end = std::max(layer.data_file_end, plan_.size_bytes);
    layer.header.l1_count = plan_.l1_count;
}

void Resize::give_up(std::error_code error) noexcept {
    // Nothing points to the new places, unless the header does.
    if (plan_.moved_clusters > 0 && !header_begun_)
        image_.refcounts()->release(plan_.moved_first, plan_.moved_clusters);
    driver_.end_resize(*request_, error);
}

}  // namespace blktap::qcow2
