// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/tables/chain_files.hpp"

#include <algorithm>
#include <utility>

#include "drivers/shared/bounce_buffer.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::tables {
namespace {

[[noreturn]] void refuse(const std::string& name, const std::string& reason) {
    throw_reason(Errc::image_invalid, name + ": " + reason);
}

bool same_file(const StorageLimits& one, const StorageLimits& other) {
    if (one.block_device != other.block_device) return false;
    if (one.block_device) return one.status.st_rdev == other.status.st_rdev;
    return one.status.st_dev == other.status.st_dev && one.status.st_ino == other.status.st_ino;
}

}  // namespace

ChainFiles::ChainFiles(ImageInfo& info, Caching caching, ImageOpener& files, std::string relation)
    : info_(info), caching_(caching), files_(files), relation_(std::move(relation)) {}

StorageLimits ChainFiles::open(ImageFile& file, const std::string& path, Access access) {
    if (std::ranges::find(names_, path) != names_.end()) refuse_loop(path);
    if (count() == chain_length_max) refuse(path, "the chain of " + relation_ + "s is too long");
    file.name = path;
    file.fd =
        count() == 0 ? files_.open(path, access, caching_) : files_.open_named(path, names_.back(), access, caching_);
    const StorageLimits limits = find_storage_limits(file.fd.get(), path, caching_);
    if (std::ranges::any_of(limits_, [&](const StorageLimits& other) { return same_file(limits, other); })) {
        refuse_loop(path);
    }
    file.file_end = limits.size_bytes;
    file.memory_alignment = limits.memory_alignment_bytes;
    file.offset_alignment = limits.offset_alignment_bytes;
    file.growable = !limits.block_device;
    return limits;
}

StorageLimits ChainFiles::open_data(ImageFile& image, const std::string& path, bool named_by_image, Access access) {
    image.data_path = path;
    StorageLimits limits;
    try {
        image.data_fd = named_by_image ? files_.open_named(path, image.name, access, caching_)
                                       : files_.open(path, access, caching_);
        limits = find_storage_limits(image.data_fd.get(), path, caching_);
    } catch (const std::system_error& error) {
        throw_reason(error.code(), image.name + ": its data file cannot be used: " + error.what());
    }
    if (std::ranges::any_of(limits_, [&](const StorageLimits& other) { return same_file(limits, other); })) {
        refuse(image.name, "its data file, '" + path + "', is an image of its chain");
    }
    image.data_file_end = limits.size_bytes;
    image.memory_alignment = std::max(image.memory_alignment, limits.memory_alignment_bytes);
    image.offset_alignment = std::max(image.offset_alignment, limits.offset_alignment_bytes);
    limits_.push_back(limits);
    note(limits, count() == 1);
    return limits;
}

void ChainFiles::keep(const ImageFile& file, const StorageLimits& limits, MemoryBudget& memory) {
    memory.take(BounceBuffer::size_bytes, file.name, "its buffers");
    limits_.push_back(limits);
    note(limits, count() == 0);
    names_.push_back(file.name);
}

void ChainFiles::refuse_loop(const std::string& path) const {
    refuse(path, "is its own " + relation_ + ", by way of " + std::to_string(count()) + " images");
}

/// Adapts the image's limits to a file: requests read every file of the chain, and write the first one and its data
/// file.
void ChainFiles::note(const StorageLimits& limits, bool of_first) {
    info_.memory_alignment_bytes = std::max(info_.memory_alignment_bytes, limits.memory_alignment_bytes);
    info_.zero_copy_safe = info_.zero_copy_safe && limits.zero_copy_safe;
    if (!of_first) return;
    info_.write_alignment_bytes = std::max(info_.write_alignment_bytes, limits.offset_alignment_bytes);
    info_.physical_sector_size_bytes =
        std::max({info_.physical_sector_size_bytes, limits.physical_sector_size_bytes, limits.offset_alignment_bytes});
}

}  // namespace blktap::tables
