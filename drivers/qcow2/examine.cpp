// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/examine.hpp"

#include <algorithm>
#include <cstring>

#include "drivers/qcow2/open_image.hpp"
#include "drivers/qcow2/table_io.hpp"
#include "drivers/shared/bytes.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::qcow2 {
namespace {

/// Enough for three sets of refcounts of the most clusters, some used more than once. Counts of clusters that no table
/// mentions take no memory.
constexpr std::uint64_t check_memory_bytes = 3ULL << 30;

class Check {
  public:
    explicit Check(const Layer& layer)
        : layer_(layer),
          cluster_(layer.cluster_bytes()),
          clusters_(clusters_of(layer)),
          // References are counted in 64 bits, which cannot overflow.
          counted_({layer.header.cluster_bits, layer.header.refcount_order, clusters_, 0, 0}, {}, &memory_, layer.name),
          referred_({layer.header.cluster_bits, 6, clusters_, 0, 0}, {}, &memory_, layer.name) {}

    Findings run(const Progress& progress) {
        refer(0, cluster_, "the header");
        refer(layer_.header.l1_offset, layer_.l1.size() * 8, "the L1 table");
        read_refcounts();
        for (std::size_t index = 0; index < layer_.l1.size(); ++index) {
            if (progress) progress(index, layer_.l1.size());
            follow_l1(layer_.l1[index] & Layer::offset_mask_l1);
        }
        compare();
        judge();
        return findings_;
    }

  private:
    /// Returns the number of clusters of the file; throws if there are too many to count.
    static std::uint64_t clusters_of(const Layer& layer) {
        const std::uint64_t clusters = round_up(layer.file_end, layer.cluster_bytes()) / layer.cluster_bytes();
        if (clusters > clusters_max) throw_reason(Errc::image_invalid, layer.name + ": has too many clusters");
        return clusters;
    }
    void complain(const std::string& text) {
        if (findings_.errors++ == 0) findings_.first_error = text;
    }
    /// Reports errors that prevent opening for writing, also if their effects are counted already. Tables that
    /// snapshots share have a refcount above 1.
    void judge() {
        if (layer_.header.snapshot_count > 0 || too_many_to_write(layer_)) return;
        const Judgement judgement = judge_tables(layer_, memory_);
        if (judgement.refcounts) return;
        findings_.errors = std::max<std::uint64_t>(findings_.errors, 1);
        findings_.first_error = judgement.damage;
    }
    /// Counts references to a range of the file. Returns true if the range is inside of the file.
    bool refer(std::uint64_t offset, std::uint64_t bytes, const std::string& what) {
        if (offset / cluster_ >= clusters_ || bytes > (clusters_ - offset / cluster_) * cluster_) {
            complain(what + " is outside of the file");
            return false;
        }
        for (std::uint64_t at = offset / cluster_; at <= (offset + bytes - 1) / cluster_; ++at) {
            if (at < clusters_) referred_.add_reference(at);
        }
        return true;
    }

    void read_refcounts() {
        const std::uint64_t bytes = layer_.header.refcount_table_clusters * cluster_;
        if (!refer(layer_.header.refcount_table_offset, bytes, "the refcount table")) return;
        const Mapping table = read_table(layer_, layer_.header.refcount_table_offset, bytes);
        for (std::uint64_t index = 0; index < bytes / 8; ++index) {
            const std::uint64_t block = load<std::uint64_t>(table.bytes(), index * 8) & ~std::uint64_t{511};
            if (block == 0) continue;
            if (!is_aligned(block, cluster_)) {
                complain("a refcount block is misplaced");
            } else if (refer(block, cluster_, "a refcount block")) {
                const Mapping memory = read_table(layer_, block, cluster_);
                if (!counted_.load_block(index, memory.bytes()) && !layer_.header.dirty()) {
                    complain("clusters outside of the file are counted");
                }
            }
        }
    }

    void follow_l1(std::uint64_t table) {
        if (table == 0) return;
        if (!is_aligned(table, cluster_)) return complain("an L2 table is misplaced");
        if (!refer(table, cluster_, "an L2 table")) return;
        const Mapping memory = read_table(layer_, table, cluster_);
        for (std::uint64_t i = 0; i < layer_.header.table_entries(); ++i) {
            const RawEntry raw = layer_.load_entry(memory.bytes(), i);
            const L2Entry entry = layer_.cluster_entry(raw);
            if (layer_.unit_entry(raw, 0).kind == L2Entry::Kind::invalid) complain("an L2 entry is impossible");
            if (!entry.placed || layer_.header.external_data()) continue;
            if (entry.kind != L2Entry::Kind::compressed) {
                refer(entry.host_offset, cluster_, "a cluster");
                continue;
            }
            // The sectors of the last compressed cluster may end behind the file.
            const std::uint64_t left = clusters_ * cluster_ - std::min(clusters_ * cluster_, entry.host_offset);
            refer(entry.host_offset, std::min<std::uint64_t>(std::max<std::uint64_t>(left, 1), entry.compressed_bytes),
                  "a compressed cluster");
        }
    }

    void compare() {
        for (std::uint64_t cluster = 0; cluster < std::max(counted_.end(), referred_.end()); ++cluster) {
            const std::uint64_t counted = counted_.count(cluster);
            const std::uint64_t referred = referred_.count(cluster);
            if (referred > 0) ++findings_.clusters_used;
            if (layer_.header.dirty()) {
                if (counted != referred) ++findings_.miscounted_clusters;
                continue;
            }
            if (counted > referred) ++findings_.leaked_clusters;
            if (counted < referred) complain("cluster " + std::to_string(cluster) + " is used more often than counted");
        }
    }

    const Layer& layer_;
    const std::uint64_t cluster_;
    const std::uint64_t clusters_;  ///< of the file
    MemoryBudget memory_{check_memory_bytes};
    Refcounts counted_;
    Refcounts referred_;
    Findings findings_;
};

void load_slice(const Chain& chain, SliceCache& cache, const Extent& missing) {
    const Layer& layer = chain[missing.layer];
    const Mapping slice = read_table(layer, missing.host_offset, layer.slice_bytes());
    const std::uint32_t slot = cache.insert({missing.layer, missing.host_offset});
    std::memcpy(cache.bytes(slot).data(), slice.data(), layer.slice_bytes());
    cache.loaded(slot);
}

}  // namespace

Findings check_tables(const Layer& layer, const Progress& progress) {
    return Check{layer}.run(progress);
}

void map_disk(const Chain& chain, const std::function<void(std::uint64_t, const Extent&)>& visit) {
    SliceCache cache{0};
    const std::uint64_t end = chain.front().size_bytes;
    for (std::uint64_t offset = 0; offset < end;) {
        const Extent extent = resolve(chain, 0, cache, offset, end - offset);
        if (extent.kind == Extent::Kind::missing) {
            load_slice(chain, cache, extent);
            continue;
        }
        visit(offset, extent);
        offset += extent.length;
    }
}

}  // namespace blktap::qcow2
