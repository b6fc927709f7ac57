// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/raw/discard.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

#include "libblktap/base/error.hpp"

namespace blktap {
namespace {

constexpr int punch_hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
constexpr std::uint32_t fallback_granularity_bytes = 4096;

bool file_system_punches_holes(int fd) noexcept {
    struct statfs fs {};
    if (::fstatfs(fd, &fs) != 0) return false;
    constexpr std::array<std::uint32_t, 5> known{EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, TMPFS_MAGIC,
                                                 F2FS_SUPER_MAGIC};
    return std::find(known.begin(), known.end(), static_cast<std::uint32_t>(fs.f_type)) != known.end();
}

DiscardLimits find_file_limits(int fd, const struct stat& status, Access access) {
    const auto block = static_cast<std::uint64_t>(status.st_blksize);
    const bool usable = block != 0 && block % sector_size_bytes == 0 && block <= UINT32_MAX;
    const auto granularity = usable ? static_cast<std::uint32_t>(block) : fallback_granularity_bytes;
    if (access == Access::read_only) return {file_system_punches_holes(fd), granularity, 0};
    const auto past_end = static_cast<off_t>(round_up(static_cast<std::uint64_t>(status.st_size), 1U << 20));
    return {::fallocate(fd, punch_hole, past_end, static_cast<off_t>(granularity)) == 0, granularity, 0};
}

bool device_answers_discard(int fd) noexcept {
    // The kernel checks for support before it checks the range, and this range is always refused.
    std::array<std::uint64_t, 2> misaligned{1, sector_size_bytes};
    return ::ioctl(fd, BLKDISCARD, misaligned.data()) != 0 && errno == EINVAL;
}

DiscardLimits find_device_limits(int fd, const DeviceDiscard& told) {
    const bool supported = told.max_bytes ? *told.max_bytes > 0 : device_answers_discard(fd);
    const auto granularity = told.granularity_bytes.value_or(0);
    const auto alignment = told.alignment_bytes.value_or(0);
    int logical_block = fallback_granularity_bytes;
    ::ioctl(fd, BLKSSZGET, &logical_block);
    const bool usable = granularity != 0 && granularity <= UINT32_MAX && is_aligned(granularity, sector_size_bytes) &&
                        is_aligned(alignment, sector_size_bytes);
    if (!usable) return {supported, static_cast<std::uint32_t>(logical_block), 0};
    return {supported, static_cast<std::uint32_t>(granularity), static_cast<std::uint32_t>(alignment % granularity)};
}

}  // namespace

DiscardLimits find_discard_limits(int fd, const struct stat& status, Access access, const DeviceDiscard& told) {
    return S_ISBLK(status.st_mode) ? find_device_limits(fd, told) : find_file_limits(fd, status, access);
}

std::error_code discard_sectors(int fd, bool block_device, SectorRange range) noexcept {
    std::array<std::uint64_t, 2> bytes{range.offset_bytes(), range.length_bytes()};
    for (;;) {
        const int result =
            block_device ? ::ioctl(fd, BLKDISCARD, bytes.data())
                         : ::fallocate(fd, punch_hole, static_cast<off_t>(bytes[0]), static_cast<off_t>(bytes[1]));
        if (result == 0) return {};
        if (errno != EINTR) return last_system_error();
    }
}

}  // namespace blktap
