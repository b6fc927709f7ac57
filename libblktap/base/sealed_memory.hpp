// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// SealedMemory: memory in a file of its own (a memfd) that two processes map and neither can shrink. Without the seal
// either process could shrink the file under the other, whose next access would be a SIGBUS.
//
// Tested by tests/unit/base/sealed_memory_test.cpp.
#pragma once

#include "libblktap/base/mapping.hpp"
#include "libblktap/base/unique_fd.hpp"

namespace blktap {

class SealedMemory {
  public:
    /// Makes zeroed memory, which the kernel allocates page by page as it is touched. `name` shows up in
    /// /proc/PID/maps, for people. Errors: throws std::system_error.
    static SealedMemory create(const char* name, std::size_t size_bytes);
    /// Maps memory that another process made, which may be hostile. The file must be a memfd without huge pages (pages
    /// of a file system may fail to arrive), sealed against shrinking, and of 1 to `size_max_bytes` bytes.
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
