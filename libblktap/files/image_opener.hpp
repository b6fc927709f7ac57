// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ImageOpener: the only way by which an image driver gets a file or a connection. A tapdisk that runs alone opens files
// itself; under tapback opening is a request to tapback, which checks, locks and passes a descriptor, so that a tapdisk
// needs no rights to the file system.
#pragma once

#include <string>

#include "libblktap/base/unique_fd.hpp"
#include "libblktap/files/device_discard.hpp"

namespace blktap {

enum class Access { read_only, read_write };
/// Direct is the rule: none of a guest's data stays in the host's page cache. Buffered exists for tests.
enum class Caching { direct, buffered };

class ImageOpener {
  public:
    virtual ~ImageOpener() = default;
    /// Opens the regular file or block device at `path`.
    /// Errors: throws std::system_error whose text names the path and the reason: ENOENT, EACCES, EROFS, EISDIR, EINVAL
    /// (neither a file nor a block device), EBUSY (in use), Errc::direct_io_unsupported. Context: may block.
    virtual UniqueFd open(const std::string& path, Access access, Caching caching) = 0;
    /// Opens a file that only the image at `by` names: its backing file, its parent, its data file. A guest may have
    /// written that name, so by default such a file is opened for reading only.
    /// Errors: as open(); EPERM: the image may not use this file.
    virtual UniqueFd open_named(const std::string& path, const std::string& by, Access access, Caching caching);
    /// Connects to the server of an image, "unix:PATH" or "HOST:PORT" with an IPv6 address in brackets; returns a
    /// stream socket. Errors: throws std::system_error whose text names the address and the reason: EINVAL (no such
    /// address), ECONNREFUSED and others of connect(2); EOPNOTSUPP: this opener makes no connections, which is the
    /// default. Context: may block.
    virtual UniqueFd connect(const std::string& address);
    /// What is known of discards on the block device `fd`, which open() has returned; nothing for another file. By
    /// default from this process's sysfs. Context: may block.
    virtual DeviceDiscard device_discard(int fd);
};

}  // namespace blktap
