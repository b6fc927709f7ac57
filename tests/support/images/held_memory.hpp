// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// HeldMemory: uses the memory of another process, as a debugger or a reader of /proc/PID/smaps does, for as long as the
// test likes. When that process is killed meanwhile, its memory stays, and so do its asynchronous requests: the process
// is seen to be dead before they are over.
//
// A child of the test copies from that memory into a page whose contents a HangingFileSystem does not send.
#pragma once

#include <sys/types.h>

#include "tests/support/images/hanging_file_system.hpp"

namespace blktap::testing {

class HeldMemory {
  public:
    static bool available() { return HangingFileSystem::available(); }

    /// `address`: any that `process` can read. The child has copies of this process's descriptors. Errors: throws
    /// std::system_error; std::runtime_error: the memory cannot be read.
    HeldMemory(pid_t process, const void* address);
    HeldMemory(const HeldMemory&) = delete;
    HeldMemory& operator=(const HeldMemory&) = delete;
    /// Lets go of it.
    ~HeldMemory();

  private:
    HangingFileSystem page_;
    pid_t child_ = -1;
};

}  // namespace blktap::testing
