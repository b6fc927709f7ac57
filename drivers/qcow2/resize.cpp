// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/resize.hpp"

#include <array>

#include "drivers/qcow2/table_io.hpp"
#include "drivers/shared/bytes.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::qcow2 {

Resize::Resize(Core& core, Committer& committer) noexcept : core_(core), committer_(committer) {
    job_.resize = this;
    job_.run = [](WorkerJob& job) noexcept {
        Resize& self = *static_cast<Job&>(job).resize;
        try {
            self.error_ = self.write_tables();
        } catch (const std::system_error& error) {
            self.error_ = error.code();
        }
    };
    job_.done = [](WorkerJob& job) noexcept { static_cast<Job&>(job).resize->done(); };
}

void Resize::start(std::uint64_t size_sectors, ImageRequest& request, Over over) noexcept {
    if (size_sectors > INT64_MAX / sector_size_bytes) {
        return over(request, std::make_error_code(std::errc::invalid_argument));
    }
    size_bytes_ = size_sectors * sector_size_bytes;
    request_ = &request;
    over_ = over;
    if (const std::error_code error = prepare()) return over(request, error);
    committer_.run_exclusively(job_);
}

/// Whether the tables that there are can describe the larger disk.
std::error_code Resize::prepare() noexcept {
    const Layer& layer = core_.top();
    const std::uint64_t entries = (size_bytes_ - 1) / layer.header.bytes_per_table() + 1;
    const std::uint64_t clusters = most_clusters(layer, size_bytes_);
    if (entries > layer.l1.capacity() || clusters > clusters_max) {
        return std::make_error_code(std::errc::operation_not_supported);
    }
    l1_count_ = static_cast<std::uint32_t>(std::max<std::uint64_t>(entries, layer.l1.size()));
    try {
        const bool reaches = !core_.image().growable || core_.image().refcounts->extend(clusters);
        return reaches ? std::error_code{} : std::make_error_code(std::errc::operation_not_supported);
    } catch (const std::system_error& error) {
        return error.code();
    }
}

/// New entries before the header tells of them. Nobody else changes the L1 table meanwhile. Context: a worker's thread.
std::error_code Resize::write_tables() const {
    const Layer& layer = core_.top();
    const std::uint64_t per_piece = layer.slice_bytes() / 8;
    const Mapping memory = Mapping::anonymous(SliceCache::slice_bytes_max);
    const auto bytes = memory.bytes().first(layer.slice_bytes());
    for (std::uint64_t first = round_down(layer.l1.size(), per_piece); first < l1_count_; first += per_piece) {
        for (std::uint64_t i = 0; i < per_piece; ++i)
            store<std::uint64_t>(bytes, i * 8, first + i < layer.l1.size() ? layer.l1[first + i] : 0);
        write_table(layer, layer.header.l1_offset + first * 8, bytes);
    }
    sync_tables(layer);
    std::array<std::byte, 16> fields{};  // the size; how it is encrypted: not at all; the L1 table's entries
    store<std::uint64_t>(fields, 0, size_bytes_);
    store<std::uint32_t>(fields, 12, l1_count_);
    write_header_field(layer, header_offset::size_bytes, fields);
    sync_tables(layer);
    return {};
}

void Resize::done() noexcept {
    if (!error_) {
        Layer& layer = core_.top();
        layer.l1.resize(l1_count_);
        layer.size_bytes = layer.header.size_bytes = size_bytes_;
        layer.header.l1_count = l1_count_;
    }
    committer_.end_exclusive(error_);
    over_(*request_, error_);
}

}  // namespace blktap::qcow2
