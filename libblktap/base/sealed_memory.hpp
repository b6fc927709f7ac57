// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// SealedMemory: memory in a file of its own (a memfd) that two processes map and neither can make shorter. Without the
// seal either could cut the file under the other, whose next access would be a SIGBUS.
//
// Tested by tests/unit/base/sealed_memory_test.cpp.
#pragma once

#include "libblktap/base/mapping.hpp"
#include "libblktap/base/unique_fd.hpp"

namespace blktap {

class SealedMemory {
  public:
    /// New zeroed memory, given by the kernel page by page as it is touched. `name` is for people, who see it in
    /// /proc/PID/maps. Errors: throws std::system_error.
    static SealedMemory create(const char* name, std::size_t size_bytes);
    /// Memory that somebody else made, and who may be hostile: it must be a file of the kernel's own memory (no file
    /// system's, whose pages may fail to come), sealed against shrinking, and of 1 to `size_max_bytes` bytes.
    /// Errors: throws std::system_error, EINVAL with the reason.
    static SealedMemory adopt(UniqueFd fd, std::size_t size_max_bytes);

    int fd() const noexcept { return fd_.get(); }
    std::span<std::byte> bytes() const noexcept { return mapping_.bytes(); }

  private:
    SealedMemory(UniqueFd fd, std::size_t size_bytes)
        : fd_(std::move(fd)), mapping_(Mapping::shared_file(fd_.get(), size_bytes)) {}

    UniqueFd fd_;
    Mapping mapping_;
};

}  // namespace blktap
