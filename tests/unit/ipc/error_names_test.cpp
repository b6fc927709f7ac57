// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/ipc/error_names.hpp"

#include <cerrno>

#include "libblktap/base/error.hpp"
#include "tests/support/catch.hpp"

namespace blktap::ipc {
namespace {

std::error_code errno_code(int value) {
    return {value, std::system_category()};
}

}  // namespace

TEST_CASE("error names: ours are kebab-case, an errno has its symbol", "[unit][ipc]") {
    CHECK(error_code_name(Errc::wrong_state) == "wrong-state");
    CHECK(error_code_name(Errc::read_only) == "read-only");
    CHECK(error_code_name(errno_code(ENOENT)) == "system:ENOENT");
    CHECK(error_code_name(std::make_error_code(std::errc::timed_out)) == "system:ETIMEDOUT");
}

TEST_CASE("error names: what has no name is told by number", "[unit][ipc]") {
    CHECK(error_code_name({12345, error_category()}) == "blktap:12345");
    CHECK(error_code_name(errno_code(12345)) == "system:12345");
    CHECK(error_code_name(std::make_error_code(std::io_errc::stream)) == "iostream:1");
}

TEST_CASE("error names: each name leads back to its error", "[unit][ipc]") {
    for (int value = 1; value <= static_cast<int>(Errc::peer_closed); ++value) {
        const std::error_code code = static_cast<Errc>(value);
        CHECK(error_code_named(error_code_name(code)) == code);
        CHECK(error_code_name(code).find(':') == std::string::npos);
    }
    for (const int value : {EPERM, ENOENT, EAGAIN, ENOSPC, EDQUOT, EHWPOISON}) {
        CHECK(error_code_named(error_code_name(errno_code(value))) == errno_code(value));
    }
}

TEST_CASE("error names: a name of a newer version is a malformed message", "[unit][ipc]") {
    CHECK(error_code_named("too-modern") == Errc::bad_message);
    CHECK(error_code_named("system:ETOOMODERN") == Errc::bad_message);
    CHECK(error_code_named("system:0") == Errc::bad_message);
    CHECK(error_code_named("") == Errc::bad_message);
}

}  // namespace blktap::ipc
