// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/sealed_memory.hpp"

#include <cstdint>
#include <fcntl.h>
#include <linux/magic.h>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "libblktap/base/error.hpp"

namespace blktap {
namespace {

[[noreturn]] void refuse(const std::string& reason) {
    throw_error(std::make_error_code(std::errc::invalid_argument), "shared memory: " + reason);
}

}  // namespace

SealedMemory SealedMemory::create(const char* name, std::size_t size_bytes) {
    UniqueFd fd{::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    if (!fd) throw_system_error("memfd_create");
    if (::ftruncate(fd.get(), static_cast<off_t>(size_bytes)) != 0 ||
        ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        throw_system_error("memfd of " + std::to_string(size_bytes) + " bytes");
    return {std::move(fd), size_bytes};
}

SealedMemory SealedMemory::adopt(UniqueFd fd, std::size_t size_max_bytes) {
    // The first check: it fails for all files but those of shmem and hugetlbfs, and calls no file system.
    const int seals = ::fcntl(fd.get(), F_GET_SEALS);
    if (seals < 0) refuse("not a memfd");
    if ((seals & F_SEAL_SHRINK) == 0) refuse("not sealed against shrinking");
    if ((seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0) refuse("sealed against writing");
    struct statfs system {};
    // A page of hugetlbfs may be missing when it is touched, which is a SIGBUS too.
    if (::fstatfs(fd.get(), &system) != 0 || system.f_type != TMPFS_MAGIC) refuse("of huge pages");
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) throw_system_error("shared memory");
    const auto size = static_cast<std::uint64_t>(status.st_size);
    if (size == 0 || size > size_max_bytes)
        refuse(std::to_string(size) + " bytes long, not 1 to " + std::to_string(size_max_bytes));
    return {std::move(fd), size};
}

}  // namespace blktap
