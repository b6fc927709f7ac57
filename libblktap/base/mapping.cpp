// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/mapping.hpp"

#include <sys/mman.h>

#include "libblktap/base/assert.hpp"
#include "libblktap/base/error.hpp"

namespace blktap {

Mapping& Mapping::operator=(Mapping&& other) noexcept {
    if (this != &other) {
        reset();
        address_ = std::exchange(other.address_, nullptr);
        size_bytes_ = std::exchange(other.size_bytes_, 0);
    }
    return *this;
}

Mapping Mapping::anonymous(std::size_t size_bytes) {
    BLKTAP_ASSERT(size_bytes > 0);
    void* address =
        ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (address == MAP_FAILED) throw_system_error("mmap of " + std::to_string(size_bytes) + " bytes");
    return {address, size_bytes};
}

Mapping Mapping::shared_file(int fd, std::size_t size_bytes) {
    BLKTAP_ASSERT(size_bytes > 0);
    void* address = ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (address == MAP_FAILED) throw_system_error("mmap of " + std::to_string(size_bytes) + " bytes of a file");
    return {address, size_bytes};
}

void Mapping::trim() const noexcept {
    if (address_ == nullptr || ::madvise(address_, size_bytes_, MADV_DONTNEED) == 0) return;
    // The memory is locked (EINVAL). Kernels before 5.18 cannot release locked memory: then it stays ours.
    ::madvise(address_, size_bytes_, MADV_DONTNEED_LOCKED);
}

void Mapping::reset() noexcept {
    if (address_ != nullptr) ::munmap(address_, size_bytes_);
    address_ = nullptr;
    size_bytes_ = 0;
}

}  // namespace blktap
