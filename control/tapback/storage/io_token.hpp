// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The token: a lock that says that I/O of one process on one file is not over.
//
// The death of a process is not the end of its I/O. Linux waits for asynchronous requests when the last user of the
// process's memory is gone, and a reader of /proc/PID/smaps or a debugger is such a user too: then the process is seen
// to be dead while its requests are still on their way to the storage, and to the guest's pages. Each request in the
// kernel refers to the open file description that it was made with, and a lock of the OFD kind lives as long as its
// description. So the lock is on a description that only this process has (docs/decisions/0028).
//
// Each process has its own byte, far behind those of QEMU's locks (100 and on, 200 and on), and the byte's number says
// which process: many disks, perhaps of several hosts, read one backing file, and only dead processes of this host are
// waited for. The lock is shared, which a description that only reads can have as well.
//
// Tested by tests/unit/tapback/storage/io_token_test.cpp.
#pragma once

#include <sys/types.h>
#include <system_error>
#include <vector>

#include "control/tapback/system/process_id.hpp"

namespace blktap::tapback {

class IoToken {
  public:
    /// The token of a process of this host.
    explicit IoToken(const ProcessId& process);

    pid_t pid() const noexcept;
    off_t byte() const noexcept { return byte_; }
    /// Errors: throws std::system_error: not known whether it lives.
    bool process_lives() const;

    /// Puts the token on the description of `fd`, which must be open for reading. Returns an error if the file system
    /// has no such locks, or no more of them. Context: may wait for the storage.
    std::error_code put_on(int fd) const noexcept;
    /// Whether the token is on another description of the file of `fd`. A lock of somebody else that covers its byte
    /// counts too. Context: as above.
    bool is_on(int fd) const noexcept;
    /// The tokens of this host that are on other descriptions of the file of `fd`. Those below a lock of somebody else
    /// that covers many bytes may be missing. Errors: throws std::system_error. Context: as above; two queries of the
    /// kernel for each token, and one.
    static std::vector<IoToken> all_on(int fd);

    friend bool operator==(const IoToken&, const IoToken&) = default;

  private:
    explicit IoToken(off_t byte) noexcept : byte_(byte) {}

    off_t byte_;
};

}  // namespace blktap::tapback
