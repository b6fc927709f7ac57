// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/raw/raw_image.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <optional>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "drivers/raw/bounce_buffer.hpp"
#include "drivers/raw/discard.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/log.hpp"
#include "libblktap/base/mapping.hpp"

namespace blktap {
namespace {

struct Alignment {
    std::uint32_t offset_bytes = sector_size_bytes;  ///< of file offsets and lengths
    std::uint32_t memory_bytes = sector_size_bytes;
};

template <class Value>
Value ask_device(int fd, unsigned long request, const std::string& name) {
    Value value{};
    if (::ioctl(fd, request, &value) != 0) throw_system_error(name);
    return value;
}

/// What the kernel says; nothing where it does not.
std::optional<Alignment> reported_alignment(int fd, const std::string& name) {
    struct statx status {};
    if (::statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) != 0) throw_system_error(name);
    if ((status.stx_mask & STATX_DIOALIGN) == 0) return std::nullopt;
    // Such a file can be opened with O_DIRECT all the same, and is then cached: ext4 with data=journal, for one.
    if (status.stx_dio_offset_align == 0) throw_error(Errc::direct_io_unsupported, name);
    return Alignment{std::max(status.stx_dio_offset_align, sector_size_bytes), status.stx_dio_mem_align};
}

/// Finds the smallest read that a file accepts. A misaligned one is refused before anything is read.
Alignment try_alignment(int fd, const std::string& name) {
    const Mapping memory = Mapping::anonymous(2 * page_size_bytes);
    for (const std::uint32_t size_bytes : {sector_size_bytes, 4096U}) {
        // At an address that is a multiple of the size and of nothing greater.
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
                        alignment.offset_bytes <= BounceBuffer::block_size_max_bytes &&
                        alignment.memory_bytes <= page_size_bytes;
    if (usable) return alignment;
    throw_error(Errc::direct_io_unsupported, name + ": needs an alignment of " +
                                                 std::to_string(alignment.offset_bytes) + " bytes (memory " +
                                                 std::to_string(alignment.memory_bytes) + ")");
}

/// What the guest should align to. A file's block, although smaller writes work: the host would read the rest of it.
std::uint32_t find_physical_sector_size(int fd, const struct stat& status, const std::string& name) {
    if (S_ISBLK(status.st_mode)) return ask_device<unsigned>(fd, BLKPBSZGET, name);
    // Larger preferred sizes (a network's transfer, a stripe) are not what one write costs.
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

/// What the device's size is, when the image is `size_bytes` and the operator declared `declared_bytes`.
std::uint64_t find_device_size(std::uint64_t size_bytes, std::uint64_t declared_bytes, bool block_device,
                               const std::string& name) {
    if (declared_bytes > INT64_MAX) throw_error(Errc::image_invalid, name + ": size=" + std::to_string(declared_bytes));
    if (declared_bytes > size_bytes && block_device) {
        throw_error(Errc::image_invalid, name + ": size=" + std::to_string(declared_bytes) +
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

void require_multiple(std::uint64_t size_bytes, std::uint32_t unit_bytes, const char* unit_name,
                      const std::string& name) {
    if (is_aligned(size_bytes, unit_bytes)) return;
    const std::string unit = std::to_string(unit_bytes);
    throw_error(Errc::image_invalid, name + ": its size, " + std::to_string(size_bytes) +
                                         " bytes, is not a multiple of " + unit + unit_name + " (truncate -s %" + unit +
                                         " enlarges it)");
}

}  // namespace

RawImage inspect_raw_image(UniqueFd fd, const std::string& name, Access access, Caching caching,
                           std::uint64_t declared_size_bytes) {
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) throw_system_error(name);
    const bool block_device = S_ISBLK(status.st_mode);
    const std::uint64_t size_bytes = find_size(fd.get(), status, name);
    const std::uint64_t device_bytes = find_device_size(size_bytes, declared_size_bytes, block_device, name);
    if (device_bytes == 0) throw_error(Errc::image_invalid, name + ": its size is 0");
    require_multiple(size_bytes, sector_size_bytes, "", name);
    const Alignment alignment = caching == Caching::direct ? find_alignment(fd.get(), block_device, name) : Alignment{};
    if (access == Access::read_write || device_bytes > size_bytes) {
        require_multiple(size_bytes, alignment.offset_bytes, ", the disk's smallest write", name);
        require_multiple(device_bytes, alignment.offset_bytes, ", the disk's smallest write", name);
    }
    const DiscardLimits discard = find_discard_limits(fd.get(), status, access);
    ImageInfo info;
    info.size_sectors = device_bytes / sector_size_bytes;
    info.read_only = access == Access::read_only;
    info.physical_sector_size_bytes =
        std::max(find_physical_sector_size(fd.get(), status, name), alignment.offset_bytes);
    info.write_alignment_bytes = alignment.offset_bytes;
    info.memory_alignment_bytes = alignment.memory_bytes;
    info.discard = discard.supported;
    info.discard_granularity_bytes = discard.granularity_bytes;
    info.discard_alignment_bytes = discard.alignment_bytes;
    info.zero_copy_safe = block_device || is_zero_copy_safe(fd.get());
    const bool sparse = !block_device && static_cast<std::uint64_t>(status.st_blocks) * 512 < size_bytes;
    return {std::move(fd), info, size_bytes, block_device, sparse};
}

}  // namespace blktap
