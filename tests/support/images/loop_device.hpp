// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// LoopDevice: a block device with blocks of a chosen size on top of a file. The kernel detaches it with the object,
// even if the test crashes. Needs root and /dev/loop-control.
#pragma once

#include <cerrno>
#include <fcntl.h>
#include <linux/loop.h>
#include <string>
#include <sys/ioctl.h>
#include <unistd.h>

#include "libblktap/base/error.hpp"
#include "libblktap/base/unique_fd.hpp"

namespace blktap::testing {

class LoopDevice {
  public:
    static bool available() { return ::geteuid() == 0 && ::access("/dev/loop-control", R_OK | W_OK) == 0; }

    LoopDevice(const std::string& file, std::uint32_t block_size_bytes, bool read_only = false) {
        const UniqueFd backing{::open(file.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC)};
        const UniqueFd control{::open("/dev/loop-control", O_RDWR | O_CLOEXEC)};
        if (!backing || !control) throw_system_error(file);
        loop_config config{};
        config.fd = static_cast<std::uint32_t>(backing.get());
        config.block_size = block_size_bytes;
        config.info.lo_flags = LO_FLAGS_AUTOCLEAR | (read_only ? LO_FLAGS_READ_ONLY : 0);
        do {  // another process may take the free one first
            path_ = "/dev/loop" + std::to_string(::ioctl(control.get(), LOOP_CTL_GET_FREE));
            fd_ = UniqueFd{::open(path_.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC)};
            if (!fd_) throw_system_error(path_);
        } while (::ioctl(fd_.get(), LOOP_CONFIGURE, &config) != 0 && errno == EBUSY);
    }

    const std::string& path() const { return path_; }

  private:
    std::string path_;
    UniqueFd fd_;  ///< the kernel detaches the file when the last descriptor is closed
};

}  // namespace blktap::testing
