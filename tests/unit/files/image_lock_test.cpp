// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Locks between our own users, and with QEMU's programs as the reference.
#include "libblktap/files/image_lock.hpp"

#include <cstdio>
#include <memory>
#include <sys/stat.h>

#include "libblktap/base/error.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/thrown.hpp"
#include "tests/support/without_locks.hpp"

using namespace blktap;
using namespace blktap::testing;

namespace {

constexpr auto writer = Access::read_write;
constexpr auto reader = Access::read_only;

UniqueFd open_file(const std::string& path, Access access) {
    UniqueFd fd{::open(path.c_str(), (access == writer ? O_RDWR : O_RDONLY) | O_CLOEXEC)};
    if (!fd) throw_system_error(path);
    return fd;
}

UniqueFd locked(const std::string& path, Access access) {
    UniqueFd fd = open_file(path, access);
    CHECK(lock_image(fd.get(), path, access));
    return fd;
}

/// Returns the reason why `path` cannot be locked.
std::string refusal(const std::string& path, Access access) {
    const UniqueFd fd = open_file(path, access);
    const auto error = thrown([&] { lock_image(fd.get(), path, access); });
    CHECK(error.code() == std::errc::device_or_resource_busy);
    return error.what();
}

struct Outcome {
    bool succeeded;
    std::string output;
};

/// Runs a shell command to its end.
Outcome run(const std::string& command) {
    std::FILE* const pipe = ::popen((command + " 2>&1").c_str(), "re");
    REQUIRE(pipe != nullptr);
    std::string output;
    for (int c = 0; (c = std::fgetc(pipe)) != EOF;)
        output += static_cast<char>(c);
    return {::pclose(pipe) == 0, output};
}

/// In QEMU only formats with metadata insist on being the only writer; for raw images the device decides.
std::string make_qcow2(const TemporaryDirectory& directory) {
    REQUIRE(run("qemu-img create -q -f qcow2 " + directory.path("disk") + " 1M").succeeded);
    return directory.path("disk");
}

/// A qemu-io that has an image open until its input ends, which is when this object, or this process, does.
class QemuIo {
  public:
    QemuIo(const TemporaryDirectory& directory, const std::string& path, const std::string& flags) {
        const std::string fifo = directory.path("said");
        REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
        const std::string command = "exec qemu-io -f qcow2 " + flags + " '" + path + "' >'" + fifo + "' 2>&1";
        input_.reset(::popen(command.c_str(), "we"));
        REQUIRE(input_ != nullptr);
        std::fputs("read 0 512\n", input_.get());
        std::fflush(input_.get());
        const UniqueFd said{::open(fifo.c_str(), O_RDONLY | O_CLOEXEC)};
        std::string text;
        for (char c = 0; text.find("read 512/512") == std::string::npos && ::read(said.get(), &c, 1) == 1;)
            text += c;
        REQUIRE_THAT(text, Catch::Contains("read 512/512"));
        said_ = UniqueFd{::fcntl(said.get(), F_DUPFD_CLOEXEC, 0)};
    }

  private:
    struct Close {
        void operator()(std::FILE* file) const noexcept { ::pclose(file); }
    };
    UniqueFd said_;  ///< its output: must stay open while it runs
    std::unique_ptr<std::FILE, Close> input_;
};

const std::string own_name = "(pid " + std::to_string(::getpid()) + ")";

}  // namespace

TEST_CASE("image lock: readers share an image, a writer shares it with nobody", "[unit][drivers]") {
    const TemporaryDirectory directory;
    const std::string path = directory.make_file("disk", 4096);
    {
        const UniqueFd first = locked(path, reader);
        const UniqueFd second = locked(path, reader);
        CHECK_THAT(refusal(path, writer), Catch::StartsWith(path + ": in use by "));
    }
    const UniqueFd first = locked(path, writer);
    CHECK_THAT(refusal(path, writer), Catch::StartsWith(path + ": in use by "));
    CHECK_THAT(refusal(path, reader), Catch::Contains(own_name));
}

TEST_CASE("image lock: a refusal leaves nothing locked", "[unit][drivers]") {
    const TemporaryDirectory directory;
    const std::string path = directory.make_file("disk", 4096);
    UniqueFd first = locked(path, reader);
    const UniqueFd refused = open_file(path, writer);
    CHECK_THROWS_AS(lock_image(refused.get(), path, writer), std::system_error);
    first.reset();
    CHECK(locked(path, writer));
}

TEST_CASE("image lock: a duplicate of the descriptor keeps it, and the last one ends it", "[unit][drivers]") {
    const TemporaryDirectory directory;
    const std::string path = directory.make_file("disk", 4096);
    UniqueFd first = locked(path, writer);
    UniqueFd duplicate{::fcntl(first.get(), F_DUPFD_CLOEXEC, 0)};
    first.reset();
    refusal(path, writer);
    duplicate.reset();
    CHECK(locked(path, writer));
}

TEST_CASE("image lock: an exclusive lock of somebody who knows nothing of the convention is respected",
          "[unit][drivers]") {
    const TemporaryDirectory directory;
    const std::string path = directory.make_file("disk", 4096);
    const UniqueFd other = open_file(path, writer);
    struct flock whole {};
    whole.l_type = F_WRLCK;
    REQUIRE(::fcntl(other.get(), F_OFD_SETLK, &whole) == 0);
    CHECK_THAT(refusal(path, reader), Catch::Contains(own_name));
}

TEST_CASE("image lock: without locks in the file system the image is served", "[unit][drivers]") {
    const TemporaryDirectory directory;
    const std::string path = directory.make_file("disk", 4096);
    const UniqueFd fd = open_file(path, writer);
    bool is_locked = true;
    without_locks([&] { is_locked = lock_image(fd.get(), path, writer); });
    CHECK_FALSE(is_locked);
}

TEST_CASE("image lock: QEMU neither writes nor resizes an image that we write", "[unit][drivers]") {
    const TemporaryDirectory directory;
    const std::string path = make_qcow2(directory);
    const UniqueFd fd = locked(path, writer);
    for (const std::string& command : {"qemu-io -f raw -c 'write 0 512' " + path, "qemu-io -c 'write 0 512' " + path,
                                       "qemu-img resize " + path + " +1M", "qemu-img info " + path}) {
        const Outcome outcome = run(command);
        CHECK_FALSE(outcome.succeeded);
        CHECK_THAT(outcome.output, Catch::Contains("lock"));
    }
    // Who asks for it may look all the same.
    CHECK(run("qemu-img info --force-share " + path).succeeded);
}

TEST_CASE("image lock: QEMU reads but does not write an image that we read", "[unit][drivers]") {
    const TemporaryDirectory directory;
    const std::string path = make_qcow2(directory);
    UniqueFd fd = locked(path, reader);
    CHECK(run("qemu-io -r -c 'read 0 512' " + path).succeeded);
    CHECK_FALSE(run("qemu-io -c 'write 0 512' " + path).succeeded);
    fd.reset();
    CHECK(run("qemu-io -c 'write 0 512' " + path).succeeded);
}

TEST_CASE("image lock: an image that QEMU writes is refused, by the name of who does", "[unit][drivers]") {
    const TemporaryDirectory directory;
    const std::string path = make_qcow2(directory);
    {
        const QemuIo other{directory, path, ""};
        CHECK_THAT(refusal(path, writer), Catch::StartsWith(path + ": in use by qemu-io (pid "));
        CHECK_THAT(refusal(path, reader), Catch::StartsWith(path + ": in use by qemu-io (pid "));
    }
    CHECK(locked(path, writer));
}

TEST_CASE("image lock: an image that QEMU reads can be read and not written", "[unit][drivers]") {
    const TemporaryDirectory directory;
    const std::string path = make_qcow2(directory);
    const QemuIo other{directory, path, "-r"};
    CHECK(locked(path, reader));
    CHECK_THAT(refusal(path, writer), Catch::StartsWith(path + ": in use by qemu-io (pid "));
}
