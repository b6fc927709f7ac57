// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/unique_fd.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "tests/support/catch.hpp"

namespace blktap {
namespace {

int open_null() {
    return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}
bool is_open(int fd) {
    return ::fcntl(fd, F_GETFD) >= 0;
}

}  // namespace

TEST_CASE("unique fd: closes its descriptor when it dies", "[unit][base]") {
    const int number = open_null();
    {
        const UniqueFd fd{number};
        CHECK(fd.get() == number);
        CHECK(is_open(number));
    }
    CHECK_FALSE(is_open(number));
}

TEST_CASE("unique fd: moving hands the descriptor over and closes the target's own", "[unit][base]") {
    UniqueFd source{open_null()};
    UniqueFd target{open_null()};
    const int moved = source.get();
    const int closed = target.get();
    target = std::move(source);
    CHECK(target.get() == moved);
    CHECK(is_open(moved));
    CHECK_FALSE(is_open(closed));
    UniqueFd last{std::move(target)};
    CHECK(last.get() == moved);
}

TEST_CASE("unique fd: moving to itself keeps the descriptor", "[unit][base]") {
    UniqueFd fd{open_null()};
    UniqueFd& same = fd;
    fd = std::move(same);
    CHECK(is_open(fd.get()));
}

TEST_CASE("unique fd: releasing leaves the descriptor open to the caller", "[unit][base]") {
    UniqueFd fd{open_null()};
    const int number = fd.release();
    CHECK_FALSE(fd);
    CHECK(is_open(number));
    ::close(number);
}

TEST_CASE("unique fd: an empty one is false and closes nothing", "[unit][base]") {
    UniqueFd fd;
    CHECK_FALSE(fd);
    fd.reset();
    CHECK(fd.get() == -1);
}

}  // namespace blktap
