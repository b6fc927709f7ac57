// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What opening an image for writing takes: reading its refcounts, or making them anew from its tables.
#include <algorithm>
#include <array>
#include <bit>
#include <unistd.h>

#include "drivers/qcow2/open_image.hpp"
#include "drivers/qcow2/table_io.hpp"
#include "drivers/shared/bytes.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::qcow2 {
namespace {

[[noreturn]] void refuse(const Layer& layer, const std::string& reason) {
    throw_reason(Errc::image_invalid, layer.name + ": " + reason);
}

[[noreturn]] void refuse_damaged(const Layer& layer, const std::string& reason) {
    refuse(layer, reason + "; not opened for writing (qemu-img check tells more)");
}

constexpr std::uint64_t divide_up(std::uint64_t value, std::uint64_t by) noexcept {
    return (value + by - 1) / by;
}

class Preparation {
  public:
    Preparation(Layer& layer, bool growable)
        : layer_(layer),
          growable_(growable),
          cluster_(layer.cluster_bytes()),
          per_block_(cluster_ * 8 >> layer.header.refcount_order) {}

    std::unique_ptr<Refcounts> run() {
        require_writable();
        end_at_cluster();
        read_refcount_table();
        mark_metadata();
        if (layer_.header.dirty()) {
            rebuild();
        } else {
            load_blocks();
            require_counted();
        }
        lengthen_table();
        reach_last_cluster();
        clear_features();
        return std::move(refcounts_);
    }

  private:
    void require_writable() const {
        if (layer_.header.snapshot_count > 0) {
            throw_reason(std::make_error_code(std::errc::not_supported),
                         layer_.name + ": has internal snapshots, and can only be opened read-only");
        }
        if (layer_.header.corrupt()) refuse_damaged(layer_, "is marked as corrupt");
    }

    /// New clusters begin where the file ends.
    void end_at_cluster() {
        if (!growable_) {
            layer_.file_end = round_down(layer_.file_end, cluster_);
            return;
        }
        const std::uint64_t end = round_up(layer_.file_end, cluster_);
        if (end == layer_.file_end) return;
        if (::ftruncate(layer_.fd.get(), static_cast<off_t>(end)) != 0) throw_system_error(layer_.name);
        layer_.file_end = end;
    }

    void read_refcount_table() {
        const std::uint64_t offset = layer_.header.refcount_table_offset;
        const std::uint64_t bytes = layer_.header.refcount_table_clusters * cluster_;
        require_inside(offset, bytes, "the refcount table");
        const Mapping memory = read_table(layer_, offset, bytes);
        std::vector<std::uint64_t> table(bytes / 8);
        for (std::size_t i = 0; i < table.size(); ++i)
            table[i] = load<std::uint64_t>(memory.bytes(), i * 8) & ~std::uint64_t{511};
        const std::uint64_t most = growable_ ? most_clusters(layer_, layer_.size_bytes) : layer_.file_end / cluster_;
        if (most > clusters_max)
            refuse(layer_, "may come to have more than 2^31 clusters, and can only be opened read-only");
        refcounts_ = std::make_unique<Refcounts>(
            Refcounts::Geometry{layer_.header.cluster_bits, layer_.header.refcount_order, most, offset,
                                growable_ ? layer_.file_end / cluster_ : UINT64_MAX},
            std::move(table));
    }

    void require_inside(std::uint64_t offset, std::uint64_t bytes, const std::string& what) const {
        const bool inside =
            is_aligned(offset, cluster_) && bytes <= layer_.file_end && offset <= layer_.file_end - bytes;
        if (!inside) refuse_damaged(layer_, what + " is outside of the file");
    }

    void mark(std::uint64_t offset, std::uint64_t bytes, const std::string& what) {
        require_inside(offset, round_up(bytes, cluster_), what);
        if (!refcounts_->mark_metadata(offset / cluster_, divide_up(bytes, cluster_))) {
            refuse_damaged(layer_, what + " overlaps another table");
        }
    }

    void mark_metadata() {
        mark(0, cluster_, "the header");
        mark(refcounts_->table_offset(), refcounts_->table().size() * 8, "the refcount table");
        mark(layer_.header.l1_offset, layer_.l1.size() * 8, "the L1 table");
        for (const std::uint64_t block : refcounts_->table()) {
            if (block != 0) mark(block, cluster_, "a refcount block");
        }
        for (const std::uint64_t entry : layer_.l1) {
            const std::uint64_t table = entry & Layer::offset_mask_l1;
            if (table != 0) mark(table, cluster_, "an L2 table");
        }
    }

    void load_blocks() {
        for (std::size_t index = 0; index < refcounts_->table().size(); ++index) {
            const std::uint64_t block = refcounts_->table()[index];
            if (block == 0) continue;
            const Mapping memory = read_table(layer_, block, cluster_);
            if (refcounts_->load_block(index, memory.bytes())) continue;
            refuse_damaged(layer_, "its refcounts tell of clusters far outside of the file");
        }
    }

    /// The tables themselves must be counted, or they would be given away.
    void require_counted() const {
        for (std::uint64_t cluster = 0; cluster < layer_.file_end / cluster_; ++cluster) {
            if (refcounts_->metadata(cluster) && refcounts_->count(cluster) != 1) {
                refuse_damaged(layer_, "the refcount of a table is wrong");
            }
        }
    }

    void refer(std::uint64_t offset, std::uint64_t bytes) {
        require_inside(round_down(offset, cluster_), cluster_, "a cluster");
        for (std::uint64_t cluster = offset / cluster_; cluster <= (offset + bytes - 1) / cluster_; ++cluster) {
            // The sectors that a compressed cluster may have end at most a cluster behind the file.
            if (cluster >= layer_.file_end / cluster_) break;
            const bool impossible = refcounts_->metadata(cluster) || !refcounts_->add_reference(cluster);
            if (impossible) refuse_damaged(layer_, "its L2 tables contradict themselves");
        }
    }

    void refer_to_data(std::uint64_t table) {
        const Mapping memory = read_table(layer_, table, cluster_);
        for (std::uint64_t i = 0; i < layer_.header.table_entries(); ++i) {
            const RawEntry raw = layer_.load_entry(memory.bytes(), i);
            const L2Entry entry = layer_.cluster_entry(raw);
            if (layer_.unit_entry(raw, 0).kind == L2Entry::Kind::invalid)
                refuse_damaged(layer_, "an L2 entry is impossible");
            if (!entry.placed || layer_.header.external_data()) continue;
            refer(entry.host_offset, entry.kind == L2Entry::Kind::compressed ? entry.compressed_bytes : 1);
        }
    }

    /// Counts what the tables refer to; used where a crash of a lazy writer left the refcounts behind.
    void rebuild() {
        log::warning("image.repair", {{"image", layer_.name}, {"reason", "it was not closed: its refcounts are old"}});
        for (std::uint64_t cluster = 0; cluster < layer_.file_end / cluster_; ++cluster) {
            if (refcounts_->metadata(cluster)) refcounts_->add_reference(cluster);
        }
        for (const std::uint64_t entry : layer_.l1) {
            if ((entry & Layer::offset_mask_l1) != 0) refer_to_data(entry & Layer::offset_mask_l1);
        }
        if (!refcounts_->make_missing_blocks()) refuse_damaged(layer_, "its refcount table is too short");
        refcounts_->mark_all_dirty();
        write_refcounts(layer_, *refcounts_);
        sync_tables(layer_);
    }

    /// Later there is no need to: most_clusters() are all that there will be, but for a resize.
    void lengthen_table() {
        const std::uint64_t wanted = divide_up(refcounts_->clusters_max(), per_block_);
        // Twice as long each time, so that this happens rarely.
        const std::uint64_t entries =
            std::min(std::bit_ceil(round_up(wanted, cluster_ / 8)), refcount_table_bytes_max / 8);
        const std::uint64_t old_entries = refcounts_->table().size();
        if (!growable_ || entries <= old_entries) return;
        const std::uint64_t old_offset = refcounts_->table_offset();
        const std::uint64_t table_clusters = entries * 8 / cluster_;
        const auto place = refcounts_->take_fresh(table_clusters);
        if (!place) refuse_damaged(layer_, "its refcounts tell of clusters far outside of the file");
        const std::uint64_t first = *place;
        refcounts_->move_table(first * cluster_, entries);
        if (!refcounts_->make_missing_blocks()) refuse(layer_, "its refcount table cannot become longer");
        // Nothing leads to the new table while it is written, blocks and all.
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

    /// What is behind the file's end is read as zeros; what a guest writes into a cluster there must not be.
    void reach_last_cluster() {
        const std::uint64_t end = refcounts_->end() * cluster_;
        if (end <= layer_.file_end) return;
        if (!growable_) refuse_damaged(layer_, "it is longer than the block device");
        if (::ftruncate(layer_.fd.get(), static_cast<off_t>(end)) != 0) throw_system_error(layer_.name);
        layer_.file_end = end;
    }

    void write_whole_table() const {
        const Mapping memory = Mapping::anonymous(SliceCache::slice_bytes_max);
        const auto piece_bytes = memory.bytes().first(refcounts_->piece_bytes());
        for (std::uint64_t piece = 0; piece * piece_bytes.size() < refcounts_->table().size() * 8; ++piece) {
            refcounts_->encode_table_piece(piece, piece_bytes);
            write_table(layer_, refcounts_->table_piece_offset(piece), piece_bytes);
        }
    }

    /// The refcounts are right now, and bitmaps will not be. A raw data file stays what the disk is.
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
    const bool growable_;
    const std::uint64_t cluster_;
    const std::uint64_t per_block_;  ///< clusters
    std::unique_ptr<Refcounts> refcounts_;
};

}  // namespace

std::uint64_t most_clusters(const Layer& layer, std::uint64_t disk_bytes) noexcept {
    const std::uint64_t cluster = layer.cluster_bytes();
    const std::uint64_t per_block = cluster * 8 >> layer.header.refcount_order;
    const std::uint64_t data = divide_up(disk_bytes, cluster);
    const std::uint64_t own_data = layer.header.external_data() ? 0 : data;
    const std::uint64_t stored =
        layer.file_end / cluster + own_data + divide_up(data, layer.header.table_entries()) + 1;
    // Blocks count themselves too, and the table may grow.
    const std::uint64_t blocks = divide_up(stored, per_block) * 2 + 2;
    return stored + blocks + divide_up(blocks * 8, cluster) * 2 + 64;
}

std::unique_ptr<Refcounts> prepare_for_writing(Layer& layer, bool growable) {
    return Preparation{layer, growable}.run();
}

void write_refcounts(const Layer& layer, Refcounts& refcounts) {
    const Mapping memory = Mapping::anonymous(SliceCache::slice_bytes_max);
    const auto bytes = memory.bytes().first(refcounts.piece_bytes());
    for (auto piece = refcounts.next_dirty(0); piece; piece = refcounts.next_dirty(*piece + 1)) {
        refcounts.encode_piece(*piece, bytes);
        write_table(layer, refcounts.piece_offset(*piece), bytes);
        refcounts.clean(*piece);
    }
    if (!refcounts.has_new_blocks()) return;
    sync_tables(layer);
    refcounts.begin_table_write(UINT64_MAX, [&](std::uint64_t piece) {
        refcounts.encode_table_piece(piece, bytes);
        write_table(layer, refcounts.table_piece_offset(piece), bytes);
    });
    refcounts.end_table_write(true);
}

}  // namespace blktap::qcow2
