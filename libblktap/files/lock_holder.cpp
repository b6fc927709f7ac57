// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/files/lock_holder.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <vector>

namespace blktap {
namespace {

namespace fs = std::filesystem;

/// One line of fdinfo: "lock: 1: OFDLCK ADVISORY READ -1 fe:00:1835 101 101".
struct HeldLock {
    std::string file;  ///< as the kernel names it: device and inode
    off_t first = 0;
    off_t last = 0;
};

std::optional<off_t> parse_offset(const std::string& text) {
    if (text == "EOF") return std::numeric_limits<off_t>::max();
    off_t value = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
    if (result.ec != std::errc{} || result.ptr != text.data() + text.size()) return std::nullopt;
    return value;
}

std::optional<HeldLock> parse_lock(const std::string& line) {
    std::istringstream words{line};
    std::string label;
    std::string number;
    std::string kind;
    std::string strictness;
    std::string mode;
    std::string pid;
    HeldLock lock;
    std::string first;
    std::string last;
    if (!(words >> label >> number >> kind >> strictness >> mode >> pid >> lock.file >> first >> last)) return {};
    if (label != "lock:" || (kind != "OFDLCK" && kind != "POSIX")) return std::nullopt;
    const auto first_offset = parse_offset(first);
    const auto last_offset = parse_offset(last);
    if (!first_offset || !last_offset) return std::nullopt;
    lock.first = *first_offset;
    lock.last = *last_offset;
    return lock;
}

std::vector<HeldLock> read_locks(const fs::path& fdinfo) {
    std::vector<HeldLock> locks;
    std::ifstream file{fdinfo};
    for (std::string line; std::getline(file, line);) {
        if (auto lock = parse_lock(line)) locks.push_back(std::move(*lock));
    }
    return locks;
}

bool holds_lock(const fs::path& process, const std::string& file, off_t byte) {
    std::error_code gone;  // processes and descriptors come and go while we look
    for (fs::directory_iterator each{process / "fdinfo", gone}, end; !gone && each != end; each.increment(gone)) {
        const auto locks = read_locks(each->path());
        const bool found = std::any_of(locks.begin(), locks.end(), [&](const HeldLock& lock) {
            return lock.file == file && lock.first <= byte && byte <= lock.last;
        });
        if (found) return true;
    }
    return false;
}

std::string describe(const fs::path& process) {
    std::string name;
    std::ifstream file{process / "comm"};
    std::getline(file, name);
    return (name.empty() ? "a process" : name) + " (pid " + process.filename().string() + ")";
}

}  // namespace

std::string name_among_locks(int fd) {
    // On btrfs and overlayfs stat() returns another device number than the one in the list of locks.
    const auto own = read_locks("/proc/self/fdinfo/" + std::to_string(fd));
    if (!own.empty()) return own.front().file;
    struct stat status {};
    if (::fstat(fd, &status) != 0) return {};
    std::ostringstream name;
    name.fill('0');
    name << std::hex;
    name.width(2);
    name << major(status.st_dev) << ':';
    name.width(2);
    name << minor(status.st_dev) << ':' << std::dec << status.st_ino;
    return name.str();
}

std::string find_lock_holders(const std::string& name_among_locks, off_t offset) {
    std::string holders;
    std::error_code gone;
    for (fs::directory_iterator each{"/proc", gone}, end; !gone && each != end; each.increment(gone)) {
        const std::string name = each->path().filename();
        if (name.empty() || std::isdigit(static_cast<unsigned char>(name.front())) == 0) continue;
        if (!holds_lock(each->path(), name_among_locks, offset)) continue;
        holders += (holders.empty() ? "" : " and ") + describe(each->path());
    }
    return holders.empty() ? "another process (unknown)" : holders;
}

}  // namespace blktap
