// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/crash/mortal/throttle.hpp"

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "libblktap/base/error.hpp"
#include "libblktap/base/unique_fd.hpp"

namespace blktap::testing {
namespace {

const std::string root = "/sys/fs/cgroup/blkio";
constexpr const char* limit_file = "/blkio.throttle.write_bps_device";

void write_to(const std::string& path, const std::string& text) {
    const UniqueFd file{::open(path.c_str(), O_WRONLY | O_CLOEXEC)};
    if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
        throw_system_error(path);
}

std::string device_of(const std::string& directory) {
    struct stat status {};
    if (::stat(directory.c_str(), &status) != 0) throw_system_error(directory);
    return std::to_string(major(status.st_dev)) + ':' + std::to_string(minor(status.st_dev));
}

}  // namespace

std::string Throttle::missing(const std::string& directory) {
    if (::access((root + "/cgroup.procs").c_str(), W_OK) != 0) return "no writable cgroup of version 1 at " + root;
    try {
        const Throttle attempt(directory, 1 << 20);
    } catch (const std::system_error& error) {
        return error.what();
    }
    return {};
}

Throttle::Throttle(const std::string& directory, std::uint64_t bytes_per_second)
    : group_(root + "/blktap-test-" + std::to_string(::getpid())) {
    if (::mkdir(group_.c_str(), 0700) != 0) throw_system_error(group_);
    try {
        write_to(group_ + limit_file, device_of(directory) + ' ' + std::to_string(bytes_per_second));
    } catch (const std::system_error&) {
        ::rmdir(group_.c_str());
        throw;
    }
}

Throttle::~Throttle() {
    ::rmdir(group_.c_str());
}

void Throttle::slow_down(pid_t process) const {
    write_to(group_ + "/cgroup.procs", std::to_string(process));
}

}  // namespace blktap::testing
