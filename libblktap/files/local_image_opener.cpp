// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/files/local_image_opener.hpp"

#include <cerrno>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "libblktap/base/error.hpp"
#include "libblktap/files/connect_stream.hpp"
#include "libblktap/files/image_lock.hpp"

namespace blktap {
namespace {

void require_image_file(const struct stat& status, const std::string& path) {
    if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode)) return;
    if (S_ISDIR(status.st_mode)) throw_reason({EISDIR, std::system_category()}, path + ": a directory, not an image");
    throw_reason({EINVAL, std::system_category()}, path + ": neither a regular file nor a block device");
}

std::string purpose(Access access) {
    return access == Access::read_only ? ": cannot open for reading" : ": cannot open for writing";
}

[[noreturn]] void refuse(int error, const std::string& path, Access access, int flags) {
    if (error == EINVAL && (flags & O_DIRECT) != 0 && UniqueFd{::open(path.c_str(), flags & ~O_DIRECT)}) {
        throw_error(Errc::direct_io_unsupported,
                    path + ": would need the host's page cache, which only the option buffered=yes (for tests) allows");
    }
    const char* const hint = error == EBUSY ? " (mounted, part of a volume group or RAID, or served elsewhere)" : "";
    throw_error({error, std::system_category()}, path + purpose(access) + hint);
}

/// Old kernels open a read-only device for writing, and fail each write.
void require_writable_device(int fd, const std::string& path) {
    int read_only = 0;
    if (::ioctl(fd, BLKROGET, &read_only) == 0 && read_only != 0) {
        throw_error({EROFS, std::system_category()}, path + purpose(Access::read_write));
    }
}

}  // namespace

UniqueFd LocalImageOpener::connect(const std::string& address) {
    return connect_stream(address);
}

UniqueFd LocalImageOpener::open(const std::string& path, Access access, Caching caching) {
    // The type is checked before opening, because opening some character devices has effects (a tape, a watchdog), and
    // again afterwards, because the path may have been replaced in between, for example by a FIFO without a writer:
    // hence O_NONBLOCK.
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) throw_system_error(path + purpose(access));
    require_image_file(status, path);
    // O_EXCL claims a block device; without O_CREAT it means nothing for a file.
    const int flags = (access == Access::read_only ? O_RDONLY : O_RDWR | O_EXCL) |
                      (caching == Caching::direct ? O_DIRECT : 0) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    UniqueFd fd{::open(path.c_str(), flags)};
    if (!fd) refuse(errno, path, access, flags);
    if (::fstat(fd.get(), &status) != 0) throw_system_error(path);
    require_image_file(status, path);
    if (S_ISBLK(status.st_mode) && access == Access::read_write) require_writable_device(fd.get(), path);
    if (::fcntl(fd.get(), F_SETFL, flags & O_DIRECT) != 0) throw_system_error(path);  // clears O_NONBLOCK
    lock_image(fd.get(), path, access);
    return fd;
}

}  // namespace blktap
