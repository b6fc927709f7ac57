// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/files/image_lock.hpp"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "libblktap/base/error.hpp"
#include "libblktap/base/log.hpp"
#include "libblktap/files/lock_holder.hpp"

namespace blktap {
namespace {

constexpr off_t used_byte = 100;     ///< + a permission's number: it is used
constexpr off_t refused_byte = 200;  ///< + a permission's number: it is refused to everybody else

/// QEMU's permissions, by number.
enum Permission : unsigned {
    consistent_read,
    write,
    write_unchanged,  ///< writes that do not change what a reader sees, such as a copy from a backing file
    resize,
    permission_count,
};

using Permissions = unsigned;  ///< bit N: permission N

constexpr Permissions set_of(Permission permission) {
    return 1U << permission;
}

struct Claim {
    Permissions used;
    Permissions refused;
};

Claim claim_of(Access access) {
    const Permissions change = set_of(write) | set_of(resize);
    if (access == Access::read_only) return {set_of(consistent_read), change};
    // Not even unchanged writes: such a writer could write back old data that it read before our write.
    return {set_of(consistent_read) | change, change | set_of(write_unchanged)};
}

struct flock lock_on(short type, off_t first, off_t count = 1) {
    struct flock lock {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = first;
    lock.l_len = count;
    return lock;
}

[[noreturn]] void refuse_in_use(int fd, const std::string& path, off_t byte) {
    const std::string name = name_among_locks(fd);
    struct flock all = lock_on(F_UNLCK, used_byte, refused_byte + permission_count - used_byte);
    ::fcntl(fd, F_OFD_SETLK, &all);
    throw_reason({EBUSY, std::system_category()}, path + ": in use by " + find_lock_holders(name, byte));
}

/// Takes the lock on one byte; returns 0 or an errno. Throws if another program has locked the file.
int take(int fd, const std::string& path, off_t byte) {
    struct flock lock = lock_on(F_RDLCK, byte);
    if (::fcntl(fd, F_OFD_SETLK, &lock) == 0) return 0;
    if (errno != EAGAIN && errno != EACCES) return errno;
    // A program that does not follow QEMU's convention has locked the file exclusively.
    refuse_in_use(fd, path, byte);
}

int take_all(int fd, const std::string& path, Claim claim) {
    for (unsigned number = 0; number < permission_count; ++number) {
        int error = 0;
        if ((claim.used >> number & 1) != 0) error = take(fd, path, used_byte + number);
        if (error == 0 && (claim.refused >> number & 1) != 0) error = take(fd, path, refused_byte + number);
        if (error != 0) return error;
    }
    return 0;
}

/// Throws if another user has a lock on `byte`; our own locks do not count.
void require_unlocked(int fd, const std::string& path, off_t byte) {
    struct flock lock = lock_on(F_WRLCK, byte);
    if (::fcntl(fd, F_OFD_GETLK, &lock) != 0) throw_system_error(path + ": cannot look at its locks");
    if (lock.l_type != F_UNLCK) refuse_in_use(fd, path, byte);
}

}  // namespace

bool means_no_locks(int error) noexcept {
    return error == EINVAL || error == ENOLCK || error == EOPNOTSUPP || error == ENOSYS;
}

std::error_code lock_image_again(int fd, const std::string& path, Access access) {
    return {take_all(fd, path, claim_of(access)), std::system_category()};
}

bool lock_image(int fd, const std::string& path, Access access) {
    const Claim claim = claim_of(access);
    if (const int error = take_all(fd, path, claim); error != 0) {
        if (!means_no_locks(error)) throw_error({error, std::system_category()}, path + ": cannot lock");
        log::warning("image.unlocked", {{"path", path},
                                        {"reason", std::system_category().message(error)},
                                        {"state", "served all the same; nothing stops a second writer"}});
        return false;
    }
    for (unsigned number = 0; number < permission_count; ++number) {
        if ((claim.used >> number & 1) != 0) require_unlocked(fd, path, refused_byte + number);
        if ((claim.refused >> number & 1) != 0) require_unlocked(fd, path, used_byte + number);
    }
    return true;
}

}  // namespace blktap
