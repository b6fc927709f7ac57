// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Opening a qcow2 image: reads and checks header and L1 table of the image and its backing files, and for writing the
// refcounts, which are repaired after a crash of a lazy writer; all before a guest's first request.
//
// Tested by tests/unit/qcow2/open_image_test.cpp.
#pragma once

#include <memory>

#include "drivers/qcow2/layer.hpp"
#include "drivers/qcow2/metadata/refcounts.hpp"
#include "drivers/shared/memory_budget.hpp"
#include "drivers/tables/chain_files.hpp"
#include "libblktap/driver_api/image_driver.hpp"

namespace blktap::qcow2 {

struct OpenedImage {
    std::unique_ptr<MemoryBudget> memory;  ///< for the members below
    Chain chain;                           ///< begins with the image itself
    ImageInfo info;
    std::unique_ptr<Refcounts> refcounts;  ///< null for a read-only image
};

using tables::chain_length_max;

/// Opens the image at `path`, and its backing files for reading. `data_file`: the data file of the first image, instead
/// of the one that it names; empty: not given. Errors: throws std::system_error whose text names the file and the
/// reason: those of parse_header(); Errc::image_invalid (tables outside of the file or overlapping, a loop in the
/// chain, a backing file without a format, a missing data file, tables that need more than `memory_bytes` together);
/// ENOTSUP (internal snapshots, for writing; a backing file of another format); those of `files`. Context: blocks.
OpenedImage open_chain(const std::string& path, Access access, Caching caching, ImageOpener& files,
                       const std::string& data_file = {}, std::uint64_t memory_bytes = default_memory_budget_bytes);

/// Reads the refcounts of `layer`, which is open for writing, and prepares the image: repairs a dirty image, lengthens
/// a refcount table that would become too short, and clears features that writes invalidate. Errors: throws
/// std::system_error as above. Context: blocks.
std::unique_ptr<Refcounts> prepare_for_writing(Layer& layer, MemoryBudget& memory);

/// The result of judge_tables().
struct Judgement {
    /// The refcounts of the file; for a dirty image computed from its tables, not written yet. Null: the image is
    /// damaged.
    std::unique_ptr<Refcounts> refcounts;
    std::string damage{};
};
/// Decides whether an image without snapshots and with not too many clusters can be written: its tables must lie inside
/// of the file, not overlap, and be counted. Data clusters are checked only in a dirty image, because that takes
/// reading all L2 tables. Errors: throws std::system_error (I/O; ENOMEM; more than `memory` has). Context: blocks.
Judgement judge_tables(const Layer& layer, MemoryBudget& memory);
/// Whether the file could come to have more clusters than clusters_max.
bool too_many_to_write(const Layer& layer) noexcept;

/// Returns the most clusters that the file of `layer` may have with a disk of `disk_bytes`: its present clusters, all
/// clusters of the disk, and the tables for them.
std::uint64_t most_clusters(const Layer& layer, std::uint64_t disk_bytes) noexcept;
/// The most clusters that this program supports: 128 TiB with clusters of 64 KiB. Each takes some bits of memory.
inline constexpr std::uint64_t clusters_max = 1ULL << 31;

/// Writes the dirty pieces of `refcounts`: new blocks before the table that points to them.
/// Errors: throws std::system_error naming the layer. Context: blocks.
void write_refcounts(const Layer& layer, Refcounts& refcounts);

}  // namespace blktap::qcow2
