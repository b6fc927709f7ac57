// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/files/storage_limits.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <optional>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "libblktap/base/error.hpp"
#include "libblktap/base/mapping.hpp"

namespace blktap {
namespace {

struct Alignment {
    std::uint32_t offset_bytes = sector_size_bytes;  ///< for file offsets and lengths
    std::uint32_t memory_bytes = sector_size_bytes;
};

template <class Value>
Value ask_device(int fd, unsigned long request, const std::string& name) {
    Value value{};
    if (::ioctl(fd, request, &value) != 0) throw_system_error(name);
    return value;
}

/// Returns the alignment that the kernel reports; nullopt if it reports none.
std::optional<Alignment> reported_alignment(int fd, const std::string& name) {
    struct statx status {};
    if (::statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) != 0) throw_system_error(name);
    if ((status.stx_mask & STATX_DIOALIGN) == 0) return std::nullopt;
    // Such a file can still be opened with O_DIRECT, but its I/O is cached: on ext4 with data=journal, for example.
    if (status.stx_dio_offset_align == 0) throw_error(Errc::direct_io_unsupported, name);
    return Alignment{std::max(status.stx_dio_offset_align, sector_size_bytes), status.stx_dio_mem_align};
}

/// Finds the smallest direct read that a file accepts. The kernel refuses a misaligned one before it reads.
Alignment try_alignment(int fd, const std::string& name) {
    const Mapping memory = Mapping::anonymous(2 * page_size_bytes);
    for (const std::uint32_t size_bytes : {sector_size_bytes, 4096U}) {
        // The address is a multiple of the size, but of no greater power of two.
        const ssize_t count = ::pread(fd, memory.data() + size_bytes, size_bytes, 0);
        if (count >= 0 || errno != EINVAL) return {size_bytes, size_bytes};
    }
    throw_error(Errc::direct_io_unsupported, name);
}

Alignment find_alignment(int fd, bool block_device, const std::string& name) {
    Alignment alignment;
    if (const auto reported = reported_alignment(fd, name)) {
        alignment = *reported;
    } else if (block_device) {
        const auto block = static_cast<std::uint32_t>(ask_device<int>(fd, BLKSSZGET, name));
        alignment = {block, std::min<std::uint32_t>(block, page_size_bytes)};
    } else {
        alignment = try_alignment(fd, name);
    }
    const bool usable = std::has_single_bit(alignment.offset_bytes) && std::has_single_bit(alignment.memory_bytes) &&
                        alignment.offset_bytes <= storage_block_max_bytes && alignment.memory_bytes <= page_size_bytes;
    if (usable) return alignment;
    throw_reason(Errc::direct_io_unsupported, name + ": direct I/O needs an unusual alignment here, of " +
                                                  std::to_string(alignment.offset_bytes) + " bytes (memory " +
                                                  std::to_string(alignment.memory_bytes) + ")");
}

/// The alignment that is best for the guest: for a file its block, because the host would have to read the rest of a
/// block to write a part of it.
std::uint32_t find_physical_sector_size(int fd, const struct stat& status, const std::string& name) {
    if (S_ISBLK(status.st_mode)) return ask_device<unsigned>(fd, BLKPBSZGET, name);
    // Larger preferred sizes (a network's transfer size, a stripe) say nothing about the cost of one write.
    const auto block =
        std::clamp<std::uint64_t>(static_cast<std::uint64_t>(status.st_blksize), sector_size_bytes, 4096);
    return static_cast<std::uint32_t>(std::bit_ceil(block));
}

/// A page given to a network file system may still be read by its transport after the write was answered.
bool is_zero_copy_safe(int fd) noexcept {
    struct statfs fs {};
    if (::fstatfs(fd, &fs) != 0) return false;
    constexpr std::array<std::uint32_t, 9> network{NFS_SUPER_MAGIC,  SMB_SUPER_MAGIC, CIFS_SUPER_MAGIC,
                                                   SMB2_SUPER_MAGIC, V9FS_MAGIC,      CEPH_SUPER_MAGIC,
                                                   FUSE_SUPER_MAGIC, AFS_SUPER_MAGIC, CODA_SUPER_MAGIC};
    return std::find(network.begin(), network.end(), static_cast<std::uint32_t>(fs.f_type)) == network.end();
}

std::uint64_t find_size(int fd, const struct stat& status, const std::string& name) {
    return S_ISBLK(status.st_mode) ? ask_device<std::uint64_t>(fd, BLKGETSIZE64, name)
                                   : static_cast<std::uint64_t>(status.st_size);
}

}  // namespace

StorageLimits find_storage_limits(int fd, const std::string& name, Caching caching) {
    StorageLimits limits;
    if (::fstat(fd, &limits.status) != 0) throw_system_error(name);
    limits.block_device = S_ISBLK(limits.status.st_mode);
    limits.size_bytes = find_size(fd, limits.status, name);
    const Alignment alignment =
        caching == Caching::direct ? find_alignment(fd, limits.block_device, name) : Alignment{};
    limits.offset_alignment_bytes = alignment.offset_bytes;
    limits.memory_alignment_bytes = alignment.memory_bytes;
    limits.physical_sector_size_bytes = find_physical_sector_size(fd, limits.status, name);
    limits.zero_copy_safe = limits.block_device || is_zero_copy_safe(fd);
    return limits;
}

}  // namespace blktap
