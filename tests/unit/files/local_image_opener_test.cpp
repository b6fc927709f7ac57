// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/files/local_image_opener.hpp"

#include <sys/stat.h>

#include "libblktap/base/error.hpp"
#include "tests/support/images/loop_device.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/thrown.hpp"

using namespace blktap;
using namespace blktap::testing;

namespace {

/// The error of opening `path`; its text always begins with the path.
std::error_code refusal(const std::string& path, Access access, Caching caching = Caching::direct) {
    LocalImageOpener opener;
    const auto error = thrown([&] { opener.open(path, access, caching); });
    CHECK_THAT(error.what(), Catch::StartsWith(path + ": "));
    return error.code();
}

}  // namespace

TEST_CASE("local opener: opens a file with direct I/O, closed on exec and blocking", "[unit][drivers]") {
    const TemporaryDirectory directory;
    LocalImageOpener opener;
    const UniqueFd fd = opener.open(directory.make_file("disk", 4096), Access::read_write, Caching::direct);
    const int flags = ::fcntl(fd.get(), F_GETFL);
    CHECK((flags & O_ACCMODE) == O_RDWR);
    CHECK((flags & O_DIRECT) != 0);
    CHECK((flags & O_NONBLOCK) == 0);
    CHECK((::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("local opener: buffered I/O and reading only are what was asked", "[unit][drivers]") {
    const TemporaryDirectory directory;
    LocalImageOpener opener;
    const UniqueFd fd = opener.open(directory.make_file("disk", 4096), Access::read_only, Caching::buffered);
    CHECK((::fcntl(fd.get(), F_GETFL) & (O_ACCMODE | O_DIRECT)) == O_RDONLY);
}

TEST_CASE("local opener: follows a symbolic link", "[unit][drivers]") {
    const TemporaryDirectory directory;
    REQUIRE(::symlink(directory.make_file("disk", 4096).c_str(), directory.path("link").c_str()) == 0);
    CHECK(LocalImageOpener{}.open(directory.path("link"), Access::read_write, Caching::direct));
}

TEST_CASE("local opener: refuses what is no file and no block device", "[unit][drivers]") {
    const TemporaryDirectory directory;
    CHECK(refusal(directory.path("absent"), Access::read_only) == std::errc::no_such_file_or_directory);
    CHECK(refusal(directory.path("."), Access::read_only) == std::errc::is_a_directory);
    CHECK(refusal("/dev/zero", Access::read_write) == std::errc::invalid_argument);
}

TEST_CASE("local opener: refuses a FIFO without waiting for its other end", "[unit][drivers]") {
    const TemporaryDirectory directory;
    REQUIRE(::mkfifo(directory.path("fifo").c_str(), 0600) == 0);
    CHECK(refusal(directory.path("fifo"), Access::read_only) == std::errc::invalid_argument);
    CHECK(refusal(directory.path("fifo"), Access::read_write) == std::errc::invalid_argument);
}

TEST_CASE("local opener: says that a file system has no direct I/O, and which option does without", "[unit][drivers]") {
    const std::string file = "/proc/version";  // procfs never has it
    CHECK(refusal(file, Access::read_only) == Errc::direct_io_unsupported);
    CHECK_THAT(thrown([&] { LocalImageOpener{}.open(file, Access::read_only, Caching::direct); }).what(),
               Catch::Contains("buffered=yes"));
    CHECK(LocalImageOpener{}.open(file, Access::read_only, Caching::buffered));
}

TEST_CASE("local opener: refuses to write to a read-only block device", "[unit][drivers][root]") {
    if (!LoopDevice::available()) {
        WARN("needs root and loop devices");
        return;
    }
    const TemporaryDirectory directory;
    const LoopDevice device{directory.make_file("disk", 1 << 20), 512, true};
    const std::error_code code = refusal(device.path(), Access::read_write);
    CHECK((code == std::errc::read_only_file_system || code == std::errc::permission_denied));
    CHECK(LocalImageOpener{}.open(device.path(), Access::read_only, Caching::direct));
}

TEST_CASE("local opener: a block device has one writer", "[unit][drivers][root]") {
    if (!LoopDevice::available()) {
        WARN("needs root and loop devices");
        return;
    }
    const TemporaryDirectory directory;
    const LoopDevice device{directory.make_file("disk", 1 << 20), 512};
    UniqueFd writer = LocalImageOpener{}.open(device.path(), Access::read_write, Caching::direct);
    CHECK(refusal(device.path(), Access::read_write) == std::errc::device_or_resource_busy);
    writer.reset();
    CHECK(LocalImageOpener{}.open(device.path(), Access::read_write, Caching::direct));
}
