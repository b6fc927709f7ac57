// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/storage/io_token.hpp"

#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <limits>
#include <string>
#include <utility>

#include "libblktap/base/boot_id.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/files/image_lock.hpp"

namespace blktap::tapback {
namespace {

static_assert(sizeof(off_t) == sizeof(std::int64_t));

// The number of a byte: 2^62, and below that the tag of the host, the pid and the time of its start, cut short: enough
// to tell two processes apart that had one pid.
constexpr off_t first_byte = off_t{1} << 62;
constexpr unsigned tag_bits = 20;
constexpr unsigned pid_bits = 22;  ///< Linux has no larger pids
constexpr unsigned ticks_bits = 20;
static_assert(tag_bits + pid_bits + ticks_bits == 62);

constexpr off_t lowest(unsigned bits) {
    return (off_t{1} << bits) - 1;
}

/// A number that another host, or another boot of this one, hardly has: a server of files knows tokens of all of them.
off_t tag_of_host() {
    constexpr unsigned bits_of_three_bytes = 24;
    static_assert(tag_bits <= bits_of_three_bytes);
    const BootId& id = boot_id();
    return static_cast<off_t>((id[0] << 16 | id[1] << 8 | id[2]) >> (bits_of_three_bytes - tag_bits));
}

off_t first_of_host() {
    return first_byte + (tag_of_host() << (pid_bits + ticks_bits));
}

struct flock lock_on(short type, off_t first, off_t last) noexcept {
    struct flock lock {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = first;
    lock.l_len = last == std::numeric_limits<off_t>::max() ? 0 : last - first + 1;
    return lock;
}

}  // namespace

IoToken::IoToken(const ProcessId& process)
    : byte_(first_of_host() + ((static_cast<off_t>(process.pid) & lowest(pid_bits)) << ticks_bits) +
            (static_cast<off_t>(process.start_ticks) & lowest(ticks_bits))) {}

pid_t IoToken::pid() const noexcept {
    return static_cast<pid_t>(byte_ >> ticks_bits & lowest(pid_bits));
}

bool IoToken::process_lives() const {
    const auto process = identify(pid());
    return process && IoToken(*process) == *this && open_process(*process);
}

std::error_code IoToken::put_on(int fd) const noexcept {
    struct flock lock = lock_on(F_RDLCK, byte_, byte_);
    if (::fcntl(fd, F_OFD_SETLK, &lock) == 0) return {};
    return last_system_error();
}

bool IoToken::is_on(int fd) const noexcept {
    struct flock lock = lock_on(F_WRLCK, byte_, byte_);
    // A server that cannot be asked now has the lock as long as nobody says otherwise.
    if (::fcntl(fd, F_OFD_GETLK, &lock) != 0) return !means_no_locks(errno);
    return lock.l_type != F_UNLCK;
}

std::vector<IoToken> IoToken::all_on(int fd) {
    std::vector<IoToken> found;
    const off_t begin = first_of_host();
    std::vector<std::pair<off_t, off_t>> ranges{{begin, begin + lowest(pid_bits + ticks_bits)}};
    while (!ranges.empty()) {
        const auto [first, last] = ranges.back();
        ranges.pop_back();
        struct flock lock = lock_on(F_WRLCK, first, last);
        if (::fcntl(fd, F_OFD_GETLK, &lock) != 0) {
            if (means_no_locks(errno)) return found;
            throw_system_error("cannot look for tokens");
        }
        if (lock.l_type == F_UNLCK) continue;
        // The kernel shows any one of the locks in the range, so the others are on both sides of that one.
        if (lock.l_start > first) ranges.emplace_back(first, lock.l_start - 1);
        if (lock.l_len != 0 && lock.l_start + (lock.l_len - 1) < last)
            ranges.emplace_back(lock.l_start + lock.l_len, last);
        const bool is_last_of_all = lock.l_len == 0 && lock.l_start == std::numeric_limits<off_t>::max();
        if (lock.l_len == 1 || is_last_of_all) found.push_back(IoToken(lock.l_start));
    }
    return found;
}

}  // namespace blktap::tapback
