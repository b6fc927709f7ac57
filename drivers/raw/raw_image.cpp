// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/raw/raw_image.hpp"

#include <algorithm>
#include <cerrno>
#include <unistd.h>

#include "drivers/raw/discard.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/log.hpp"
#include "libblktap/files/storage_limits.hpp"

namespace blktap {
namespace {

/// Returns the device's size, if the image has `size_bytes` and the operator declared `declared_bytes`.
std::uint64_t find_device_size(std::uint64_t size_bytes, std::uint64_t declared_bytes, bool block_device,
                               const std::string& name) {
    if (declared_bytes > INT64_MAX)
        throw_reason(Errc::image_invalid,
                     name + ": size=" + std::to_string(declared_bytes) + " is more than any file can have");
    if (declared_bytes > size_bytes && block_device) {
        throw_reason(Errc::image_invalid, name + ": size=" + std::to_string(declared_bytes) +
                                              ", but the block device has " + std::to_string(size_bytes) + " bytes");
    }
    if (declared_bytes != 0 && declared_bytes < size_bytes) {
        log::warning("image.size", {{"image", name},
                                    {"declared", std::to_string(declared_bytes)},
                                    {"is", std::to_string(size_bytes)},
                                    {"state", "the declared size is not applied: a disk is never cut off"}});
    }
    return std::max(size_bytes, declared_bytes);
}

/// Throws if `bytes` is no multiple of `unit_bytes`; `advice` says how to make it one.
void require_multiple(const std::string& what, std::uint64_t bytes, std::uint32_t unit_bytes,
                      const std::string& advice) {
    if (is_aligned(bytes, unit_bytes)) return;
    const char* const unit_name = unit_bytes == sector_size_bytes ? "" : ", the disk's smallest write";
    throw_reason(Errc::image_invalid, what + std::to_string(bytes) + " bytes, is not a multiple of " +
                                          std::to_string(unit_bytes) + unit_name + advice);
}

void require_multiples(const StorageLimits& limits, std::uint64_t device_bytes, bool writes, const std::string& name) {
    // A file that is only read may end anywhere.
    if (!writes) return;
    const std::uint32_t unit = limits.offset_alignment_bytes;
    // A block device cannot be enlarged here.
    const std::string advice = limits.block_device ? "" : " (truncate -s %" + std::to_string(unit) + " enlarges it)";
    require_multiple(name + ": its size, ", limits.size_bytes, unit, advice);
    require_multiple(name + ": the disk's size, ", device_bytes, unit, "");
}

/// Throws if a file of this file system can never have this length, which it reports without a write.
void require_possible_length(int fd, std::uint64_t device_bytes, const std::string& name) {
    if (::lseek(fd, static_cast<off_t>(device_bytes), SEEK_SET) >= 0 || errno != EINVAL) return;
    throw_reason(std::make_error_code(std::errc::file_too_large),
                 name + ": size=" + std::to_string(device_bytes) + " is more than a file of this file system can have");
}

}  // namespace

RawImage inspect_raw_image(UniqueFd fd, const std::string& name, Access access, Caching caching,
                           std::uint64_t declared_size_bytes, const DeviceDiscard& told) {
    const StorageLimits limits = find_storage_limits(fd.get(), name, caching);
    const std::uint64_t size_bytes = limits.size_bytes;
    const std::uint64_t device_bytes = find_device_size(size_bytes, declared_size_bytes, limits.block_device, name);
    if (device_bytes == 0) throw_reason(Errc::image_invalid, name + ": its size is 0");
    require_multiples(limits, device_bytes, access == Access::read_write || device_bytes > size_bytes, name);
    if (device_bytes > size_bytes) require_possible_length(fd.get(), device_bytes, name);
    const DiscardLimits discard = find_discard_limits(fd.get(), limits.status, access, told);
    ImageInfo info;
    // The missing part of a last sector reads as zeros.
    info.size_sectors = round_up(device_bytes, sector_size_bytes) / sector_size_bytes;
    info.read_only = access == Access::read_only;
    info.physical_sector_size_bytes = std::max(limits.physical_sector_size_bytes, limits.offset_alignment_bytes);
    info.write_alignment_bytes = limits.offset_alignment_bytes;
    info.memory_alignment_bytes = limits.memory_alignment_bytes;
    info.discard = discard.supported;
    info.discard_granularity_bytes = discard.granularity_bytes;
    info.discard_alignment_bytes = discard.alignment_bytes;
    info.zero_copy_safe = limits.zero_copy_safe;
    info.write_zeroes = true;
    const bool sparse = !limits.block_device && static_cast<std::uint64_t>(limits.status.st_blocks) * 512 < size_bytes;
    return {std::move(fd), info, size_bytes, limits.block_device, sparse};
}

}  // namespace blktap
