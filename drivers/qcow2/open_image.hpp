// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Opening a qcow2 image: its header and L1 table, its backing files down to the last, and for writing its refcounts,
// repaired where a crash left them behind. Everything is checked before a guest's first request.
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
    std::unique_ptr<MemoryBudget> memory;  ///< of all below
    Chain chain;                           ///< the image itself first
    ImageInfo info;
    std::unique_ptr<Refcounts> refcounts;  ///< null for a read-only image
};

using tables::chain_length_max;

/// Opens the image at `path` and its backing files, which are opened for reading. Errors: throws std::system_error
/// whose text names the file and the reason: what parse_header() throws; Errc::image_invalid (tables outside of the
/// file or overlapping, a loop in the chain, a backing file without a format, no data file where there must be one);
/// ENOTSUP (for writing: internal
/// snapshots; a backing file of another format); what `files` throws. Context: blocks.
/// `data_file`: of the first image, instead of the one that it names; empty: none is given. Tables that would take more
/// than `memory_bytes`, all together, are refused (Errc::image_invalid).
OpenedImage open_chain(const std::string& path, Access access, Caching caching, ImageOpener& files,
                       const std::string& data_file = {}, std::uint64_t memory_bytes = default_memory_budget_bytes);

/// Reads the refcounts of `chain`'s first layer, which is open for writing, and makes the image ready for it: a dirty
/// one is repaired, a refcount table that would become too short is made longer, features that writing spoils are
/// cleared. Errors: throws std::system_error as above. Context: blocks.
std::unique_ptr<Refcounts> prepare_for_writing(Layer& layer, MemoryBudget& memory);

/// What judge_tables() found.
struct Judgement {
    /// As they are in the file; of a dirty image counted anew, and not written yet. Null: the image is damaged.
    std::unique_ptr<Refcounts> refcounts;
    std::string damage{};
};
/// Whether an image can be written, which has no snapshots and not too many clusters: its tables are inside of the
/// file, beside each other, and counted. Where data is, is not looked at, but in a dirty image: that would mean reading
/// all L2 tables. Errors: throws std::system_error (I/O; ENOMEM; more than `memory` has). Context: blocks.
Judgement judge_tables(const Layer& layer, MemoryBudget& memory);
/// The file, as long as it may become, has more clusters than clusters_max.
bool too_many_to_write(const Layer& layer) noexcept;

/// As many clusters as the file of `layer` may come to have when the disk is `disk_bytes` long: what it has, all of the
/// disk, and the tables for it.
std::uint64_t most_clusters(const Layer& layer, std::uint64_t disk_bytes) noexcept;
/// What this program keeps account of: 128 TiB with clusters of 64 KiB. Some bits of memory for each.
inline constexpr std::uint64_t clusters_max = 1ULL << 31;

/// Writes what is dirty of `refcounts`: new blocks before the table that leads to them.
/// Errors: throws std::system_error naming the layer. Context: blocks.
void write_refcounts(const Layer& layer, Refcounts& refcounts);

}  // namespace blktap::qcow2
