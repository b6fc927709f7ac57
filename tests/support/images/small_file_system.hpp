// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// SmallFileSystem: a file system that can really be full, visible only to this process and removed with it. A tmpfs,
// which needs the right to mount; or ext4 on a loop device, which also needs loop devices and mkfs.ext4.
//
//     if (!SmallFileSystem::available()) return (void)WARN("needs the right to mount");
//     SmallFileSystem small{SmallFileSystem::Kind::tmpfs, 16 << 20};
//     small.fill();              // nothing is free
//     small.free_space();        // all but what the test's own files have
#pragma once

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <sched.h>
#include <string>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "libblktap/base/error.hpp"
#include "tests/support/images/loop_device.hpp"
#include "tests/support/temporary_directory.hpp"

namespace blktap::testing {

class SmallFileSystem {
  public:
    enum class Kind { tmpfs, ext4 };

    static bool available(Kind kind = Kind::tmpfs) {
        if (::geteuid() != 0 || !has_own_mounts()) return false;
        return kind == Kind::tmpfs || (LoopDevice::available() && std::system("mkfs.ext4 -V >/dev/null 2>&1") == 0);
    }

    /// `sector_bytes`: the sector size of the disk below an ext4.
    SmallFileSystem(Kind kind, std::uint64_t size_bytes, std::uint32_t sector_bytes = 512) {
        ::mkdir(path_.c_str(), 0700);
        if (kind == Kind::tmpfs) {
            mount("tmpfs", "tmpfs", "size=" + std::to_string(size_bytes));
        } else {
            const std::string file = directory_.make_file("device", size_bytes);
            const std::string block_option = sector_bytes > 512 ? "-b " + std::to_string(sector_bytes) + " " : "";
            if (std::system(("mkfs.ext4 -q -m 0 -F " + block_option + file).c_str()) != 0)
                throw std::runtime_error("mkfs.ext4");
            device_.emplace(file, sector_bytes);
            mount(device_->path(), "ext4", "");
        }
    }
    SmallFileSystem(const SmallFileSystem&) = delete;
    SmallFileSystem& operator=(const SmallFileSystem&) = delete;
    ~SmallFileSystem() { ::umount2(path_.c_str(), MNT_DETACH); }

    std::string path(const std::string& name) const { return path_ + "/" + name; }
    /// Makes an empty file.
    std::string make_file(const std::string& name) const {
        const UniqueFd fd{::open(path(name).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)};
        if (!fd) throw_system_error(path(name));
        return path(name);
    }
    std::uint64_t free_bytes() const {
        struct statvfs status {};
        if (::statvfs(path_.c_str(), &status) != 0) throw_system_error(path_);
        return status.f_bavail * status.f_frsize;
    }
    /// Leaves at most `leave_bytes` free.
    void fill(std::uint64_t leave_bytes = 0) const {
        const UniqueFd fd{::open(path("filler").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)};
        off_t end = 0;
        for (std::uint64_t step = 1 << 20; step >= 4096;) {
            const bool wanted = free_bytes() >= leave_bytes + step;
            if (wanted && ::fallocate(fd.get(), 0, end, static_cast<off_t>(step)) == 0) {
                end += static_cast<off_t>(step);
            } else {
                step /= 2;
            }
        }
    }
    void free_space() const { ::unlink(path("filler").c_str()); }

  private:
    /// Moves the process into its own mount namespace, once: its later mounts are invisible to others, and end with it.
    static bool has_own_mounts() {
        static const bool result =
            ::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
        return result;
    }
    void mount(const std::string& source, const char* type, const std::string& options) const {
        if (::mount(source.c_str(), path_.c_str(), type, 0, options.c_str()) != 0) throw_system_error(path_);
    }

    TemporaryDirectory directory_;
    const std::string path_ = directory_.path("mounted");
    std::optional<LoopDevice> device_;
};

}  // namespace blktap::testing
