// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Decides whether an image's tables can be trusted with a guest's writes. Opening for writing and checking an image
// both use this code, so that they cannot disagree. Writes nothing.
#include <stdexcept>

#include "drivers/qcow2/open_image.hpp"
#include "drivers/qcow2/table_io.hpp"
#include "drivers/shared/bytes.hpp"
#include "libblktap/base/units.hpp"

namespace blktap::qcow2 {
namespace {

/// Thrown with the reason why they cannot; caught by judge_tables().
class Damaged : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

[[noreturn]] void damaged(const std::string& reason) {
    throw Damaged{reason};
}

class Judge {
  public:
    Judge(const Layer& layer, MemoryBudget& memory)
        : layer_(layer),
          budget_(memory),
          cluster_(layer.cluster_bytes()),
          // The last cluster of a file may be incomplete; it is extended before any write.
          clusters_(layer.growable ? divide_up(layer.file_end, cluster_) : layer.file_end / cluster_) {}

    std::unique_ptr<Refcounts> run() {
        if (layer_.header.corrupt())
            damaged("is marked as corrupt (qemu-img check -r all looks for errors, and takes the mark away)");
        read_refcount_table();
        mark_metadata();
        if (layer_.header.dirty()) {
            rebuild();
        } else {
            load_blocks();
            require_counted();
        }
        return std::move(refcounts_);
    }

  private:
    std::uint64_t file_bytes() const noexcept { return clusters_ * cluster_; }

    void read_refcount_table() {
        const std::uint64_t offset = layer_.header.refcount_table_offset;
        const std::uint64_t bytes = layer_.header.refcount_table_clusters * cluster_;
        require_inside(offset, bytes, "the refcount table");
        const BorrowedMemory twice{budget_, bytes, layer_.name, "its refcount table"};
        const Mapping memory = read_table(layer_, offset, bytes);
        std::vector<std::uint64_t> table(bytes / 8);
        for (std::size_t i = 0; i < table.size(); ++i)
            table[i] = load<std::uint64_t>(memory.bytes(), i * 8) & ~std::uint64_t{511};
        const std::uint64_t most = layer_.growable ? most_clusters(layer_, layer_.size_bytes) : clusters_;
        refcounts_ =
            std::make_unique<Refcounts>(Refcounts::Geometry{layer_.header.cluster_bits, layer_.header.refcount_order,
                                                            most, offset, layer_.growable ? clusters_ : UINT64_MAX},
                                        std::move(table), &budget_, layer_.name);
    }

    void require_inside(std::uint64_t offset, std::uint64_t bytes, const std::string& what) const {
        const bool inside = is_aligned(offset, cluster_) && bytes <= file_bytes() && offset <= file_bytes() - bytes;
        if (!inside) damaged(what + " is outside of the file");
    }

    void mark(std::uint64_t offset, std::uint64_t bytes, const std::string& what) {
        require_inside(offset, round_up(bytes, cluster_), what);
        if (!refcounts_->mark_metadata(offset / cluster_, divide_up(bytes, cluster_))) {
            damaged(what + " overlaps another table");
        }
    }

    void mark_metadata() {
        mark(0, cluster_, "the header");
        mark(refcounts_->table().offset(), refcounts_->table().size() * 8, "the refcount table");
        mark(layer_.header.l1_offset, layer_.l1.size() * 8, "the L1 table");
        for (const std::uint64_t block : refcounts_->table().entries()) {
            if (block != 0) mark(block, cluster_, "a refcount block");
        }
        for (const std::uint64_t entry : layer_.l1) {
            const std::uint64_t table = entry & Layer::offset_mask_l1;
            if (table != 0) mark(table, cluster_, "an L2 table");
        }
    }

    void load_blocks() {
        for (std::size_t index = 0; index < refcounts_->table().size(); ++index) {
            const std::uint64_t block = refcounts_->table().entries()[index];
            if (block == 0) continue;
            const Mapping memory = read_table(layer_, block, cluster_);
            if (refcounts_->load_block(index, memory.bytes())) continue;
            damaged("its refcounts tell of clusters far outside of the file");
        }
    }

    /// The tables' own clusters must be counted, or they would be allocated again.
    void require_counted() const {
        for (std::uint64_t cluster = 0; cluster < clusters_; ++cluster) {
            if (refcounts_->metadata(cluster) && refcounts_->count(cluster) != 1) {
                damaged("the refcount of a table is wrong (cluster " + std::to_string(cluster) + ")");
            }
        }
    }

    void refer(std::uint64_t offset, std::uint64_t bytes) {
        require_inside(round_down(offset, cluster_), cluster_, "a cluster");
        for (std::uint64_t cluster = offset / cluster_; cluster <= (offset + bytes - 1) / cluster_; ++cluster) {
            // The sectors of a compressed cluster may end up to a cluster behind the file.
            if (cluster >= clusters_) break;
            const bool impossible = refcounts_->metadata(cluster) || !refcounts_->add_reference(cluster);
            if (impossible) damaged("its L2 tables contradict themselves");
        }
    }

    void refer_to_data(std::uint64_t table) {
        const Mapping memory = read_table(layer_, table, cluster_);
        for (std::uint64_t i = 0; i < layer_.header.table_entries(); ++i) {
            const RawEntry raw = layer_.load_entry(memory.bytes(), i);
            const L2Entry entry = layer_.cluster_entry(raw);
            if (layer_.unit_entry(raw, 0).kind == L2Entry::Kind::invalid) damaged("an L2 entry is impossible");
            if (!entry.placed || layer_.header.external_data()) continue;
            refer(entry.host_offset, entry.kind == L2Entry::Kind::compressed ? entry.compressed_bytes : 1);
        }
    }

    /// Computes the refcounts from the tables; for an image whose lazy writer crashed.
    void rebuild() {
        for (std::uint64_t cluster = 0; cluster < clusters_; ++cluster) {
            if (refcounts_->metadata(cluster)) refcounts_->add_reference(cluster);
        }
        for (const std::uint64_t entry : layer_.l1) {
            if ((entry & Layer::offset_mask_l1) != 0) refer_to_data(entry & Layer::offset_mask_l1);
        }
        if (!refcounts_->make_missing_blocks()) damaged("its refcount table is too short");
        refcounts_->mark_all_dirty();
    }

    const Layer& layer_;
    MemoryBudget& budget_;
    const std::uint64_t cluster_;
    const std::uint64_t clusters_;  ///< of the file
    std::unique_ptr<Refcounts> refcounts_;
};

}  // namespace

Judgement judge_tables(const Layer& layer, MemoryBudget& memory) {
    try {
        return {Judge{layer, memory}.run(), {}};
    } catch (const Damaged& reason) {
        return {nullptr, reason.what()};
    }
}

std::uint64_t most_clusters(const Layer& layer, std::uint64_t disk_bytes) noexcept {
    const std::uint64_t cluster = layer.cluster_bytes();
    const std::uint64_t per_block = cluster * 8 >> layer.header.refcount_order;
    const std::uint64_t data = divide_up(disk_bytes, cluster);
    const std::uint64_t own_data = layer.header.external_data() ? 0 : data;
    const std::uint64_t stored =
        divide_up(layer.file_end, cluster) + own_data + divide_up(data, layer.header.table_entries()) + 1;
    // Blocks count themselves too, and the table may grow.
    const std::uint64_t blocks = divide_up(stored, per_block) * 2 + 2;
    return stored + blocks + divide_up(blocks * 8, cluster) * 2 + 64;
}

bool too_many_to_write(const Layer& layer) noexcept {
    return (layer.growable ? most_clusters(layer, layer.size_bytes) : layer.file_end / layer.cluster_bytes()) >
           clusters_max;
}

}  // namespace blktap::qcow2
