// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Changes in the file of an image that is opened for writing, after judge_tables.cpp has accepted its tables.
#include <algorithm>
#include <array>
#include <bit>
#include <unistd.h>

#include "drivers/qcow2/open_image.hpp"
#include "drivers/qcow2/table_io.hpp"
#include "drivers/shared/bytes.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/log.hpp"
#include "libblktap/base/units.hpp"

namespace blktap::qcow2 {
namespace {

[[noreturn]] void refuse(const Layer& layer, const std::string& reason) {
    throw_reason(Errc::image_invalid, layer.name + ": " + reason);
}

[[noreturn]] void refuse_damaged(const Layer& layer, const std::string& reason) {
    refuse(layer, reason + "; not opened for writing (tap-ctl image check tells more)");
}

class Preparation {
  public:
    Preparation(Layer& layer, MemoryBudget& memory)
        : layer_(layer),
          memory_(memory),
          cluster_(layer.cluster_bytes()),
          per_block_(cluster_ * 8 >> layer.header.refcount_order) {}

    std::unique_ptr<Refcounts> run() {
        require_possible();
        Judgement judgement = judge_tables(layer_, memory_);
        if (!judgement.refcounts) refuse_damaged(layer_, judgement.damage);
        refcounts_ = std::move(judgement.refcounts);
        end_at_cluster();
        if (layer_.header.dirty()) repair();
        lengthen_table();
        reach_last_cluster();
        clear_features();
        return std::move(refcounts_);
    }

  private:
    void require_possible() const {
        if (layer_.header.snapshot_count > 0) {
            throw_reason(std::make_error_code(std::errc::not_supported),
                         layer_.name + ": has internal snapshots, and can only be opened read-only");
        }
        if (too_many_to_write(layer_))
            refuse(layer_, "may come to have more than 2^31 clusters, and can only be opened read-only");
    }

    /// Sets file_end to a cluster boundary, where new clusters begin.
    void end_at_cluster() {
        const std::uint64_t end = round_up(layer_.file_end, cluster_);
        if (!layer_.growable || end == layer_.file_end) return;
        if (::ftruncate(layer_.fd.get(), static_cast<off_t>(end)) != 0) throw_system_error(layer_.name);
        layer_.file_end = end;
    }

    /// Writes refcounts that were computed from the tables.
    void repair() {
        log::warning("image.repair", {{"image", layer_.name}, {"reason", "it was not closed: its refcounts are old"}});
        write_refcounts(layer_, *refcounts_);
        sync_tables(layer_);
    }

    /// Lengthens the refcount table for most_clusters(), so that only a resize can need a longer one later.
    void lengthen_table() {
        const std::uint64_t wanted = divide_up(refcounts_->clusters_max(), per_block_);
        // Twice as long each time, so that this happens rarely.
        const std::uint64_t entries =
            std::min(std::bit_ceil(round_up(wanted, cluster_ / 8)), refcount_table_bytes_max / 8);
        const std::uint64_t old_entries = refcounts_->table().size();
        if (!layer_.growable || entries <= old_entries) return;
        const std::uint64_t old_offset = refcounts_->table().offset();
        const std::uint64_t table_clusters = entries * 8 / cluster_;
        const auto place = refcounts_->take_fresh(table_clusters);
        if (!place) refuse_damaged(layer_, "its refcounts tell of clusters far outside of the file");
        const std::uint64_t first = *place;
        refcounts_->table().move(first * cluster_, entries);
        if (!refcounts_->make_missing_blocks()) refuse(layer_, "its refcount table cannot become longer");
        // The header does not name the new table while it and its blocks are written.
        write_refcounts(layer_, *refcounts_);
        write_whole_table();
        sync_tables(layer_);
        std::array<std::byte, 12> field{};
        store<std::uint64_t>(field, 0, first * cluster_);
        store<std::uint32_t>(field, 8, static_cast<std::uint32_t>(table_clusters));
        write_header_field(layer_, header_offset::refcount_table_offset, field);
        sync_tables(layer_);
        refcounts_->release(old_offset / cluster_, old_entries * 8 / cluster_);
    }

    /// Extends the file to its last used cluster: bytes behind the file's end read as zeros, also those that a guest
    /// would write there.
    void reach_last_cluster() {
        const std::uint64_t end = refcounts_->end() * cluster_;
        // A block device has all counted clusters, or its tables would not have been accepted.
        if (!layer_.growable || end <= layer_.file_end) return;
        if (::ftruncate(layer_.fd.get(), static_cast<off_t>(end)) != 0) throw_system_error(layer_.name);
        layer_.file_end = end;
    }

    void write_whole_table() const {
        const Mapping memory = Mapping::anonymous(SliceCache::slice_bytes_max);
        const auto piece_bytes = memory.bytes().first(refcounts_->piece_bytes());
        for (std::uint64_t piece = 0; piece * piece_bytes.size() < refcounts_->table().size() * 8; ++piece) {
            refcounts_->table().encode_piece(piece, piece_bytes);
            write_table(layer_, refcounts_->table().piece_offset(piece), piece_bytes);
        }
    }

    /// Clears the dirty bit, since the refcounts are correct, and autoclear features, since bitmaps will be outdated.
    /// A raw data file stays one.
    void clear_features() {
        if (layer_.header.version < 3) return;
        const std::uint64_t kept =
            layer_.header.raw_data() && layer_.header.backing_file.empty() ? autoclear_raw_data : 0;
        if (!layer_.header.dirty() && layer_.header.autoclear == kept) return;
        layer_.header.incompatible &= ~incompatible_dirty;
        layer_.header.autoclear = kept;
        std::array<std::byte, 8> field{};
        store<std::uint64_t>(field, 0, kept);
        write_header_field(layer_, header_offset::autoclear, field);
        store<std::uint64_t>(field, 0, layer_.header.incompatible);
        write_header_field(layer_, header_offset::incompatible, field);
        sync_tables(layer_);
    }

    Layer& layer_;
    MemoryBudget& memory_;
    const std::uint64_t cluster_;
    const std::uint64_t per_block_;  ///< clusters
    std::unique_ptr<Refcounts> refcounts_;
};

}  // namespace

std::unique_ptr<Refcounts> prepare_for_writing(Layer& layer, MemoryBudget& memory) {
    return Preparation{layer, memory}.run();
}

void write_refcounts(const Layer& layer, Refcounts& refcounts) {
    const Mapping memory = Mapping::anonymous(SliceCache::slice_bytes_max);
    const auto bytes = memory.bytes().first(refcounts.piece_bytes());
    for (auto piece = refcounts.dirty().next(0); piece; piece = refcounts.dirty().next(*piece + 1)) {
        refcounts.encode_piece(*piece, bytes);
        write_table(layer, refcounts.piece_offset(*piece), bytes);
        refcounts.dirty().clear(*piece);
    }
    if (!refcounts.table().has_new()) return;
    sync_tables(layer);
    refcounts.table().begin_write(UINT64_MAX, [&](std::uint64_t piece) {
        refcounts.table().encode_piece(piece, bytes);
        write_table(layer, refcounts.table().piece_offset(piece), bytes);
    });
    refcounts.table().end_write(true);
}

}  // namespace blktap::qcow2
