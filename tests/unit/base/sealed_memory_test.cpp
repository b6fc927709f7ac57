// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/sealed_memory.hpp"

#include <cerrno>
#include <fcntl.h>
#include <functional>
#include <sys/mman.h>
#include <unistd.h>

#include "libblktap/base/units.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/thrown.hpp"

using namespace blktap;
using namespace blktap::testing;
using Catch::Matchers::Contains;

namespace {

constexpr std::size_t memory_bytes = 4 * page_size_bytes;

UniqueFd memfd(unsigned flags, int seals, off_t size = memory_bytes) {
    UniqueFd fd{::memfd_create("test", flags)};
    REQUIRE(fd);
    REQUIRE(::ftruncate(fd.get(), size) == 0);
    if (seals != 0) REQUIRE(::fcntl(fd.get(), F_ADD_SEALS, seals) == 0);
    return fd;
}

std::string refusal(UniqueFd fd) {
    const std::system_error error = thrown([&] { SealedMemory::adopt(std::move(fd), memory_bytes); });
    CHECK(error.code() == std::errc::invalid_argument);
    return error.what();
}

}  // namespace

TEST_CASE("sealed memory: two who map it see the same bytes, and neither can make it shorter", "[unit][base]") {
    const SealedMemory ours = SealedMemory::create("test", memory_bytes);
    const SealedMemory theirs = SealedMemory::adopt(UniqueFd{::dup(ours.fd())}, memory_bytes);
    ours.bytes()[memory_bytes - 1] = std::byte{7};
    CHECK(theirs.bytes()[memory_bytes - 1] == std::byte{7});
    CHECK(::ftruncate(theirs.fd(), 0) == -1);
    CHECK(errno == EPERM);
}

TEST_CASE("sealed memory: what could become shorter, or is no memory, is refused", "[unit][base]") {
    CHECK_THAT(refusal(memfd(MFD_ALLOW_SEALING, 0)), Contains("not sealed against shrinking"));
    CHECK_THAT(refusal(memfd(0, 0)), Contains("not sealed against shrinking"));
    CHECK_THAT(refusal(memfd(MFD_ALLOW_SEALING, F_SEAL_SHRINK | F_SEAL_WRITE)), Contains("sealed against writing"));
    CHECK_THAT(refusal(memfd(MFD_ALLOW_SEALING, F_SEAL_SHRINK, 0)), Contains("0 bytes long"));
    CHECK_THAT(refusal(memfd(MFD_ALLOW_SEALING, F_SEAL_SHRINK, memory_bytes + 1)), Contains("not 1 to"));
    const TemporaryDirectory directory;
    const std::string file = directory.make_file("file", memory_bytes);
    CHECK_THAT(refusal(UniqueFd{::open(file.c_str(), O_RDWR | O_CLOEXEC)}), Contains("not a memfd"));
    CHECK_THAT(refusal(UniqueFd{}), Contains("not a memfd"));
}
