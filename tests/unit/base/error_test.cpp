// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/error.hpp"

#include <cerrno>
#include <set>

#include "tests/support/catch.hpp"
#include "tests/support/thrown.hpp"

namespace blktap {
namespace {

Result<int> half(int value) noexcept {
    if (value % 2 != 0) return Errc::bad_message;
    return value / 2;
}

}  // namespace

TEST_CASE("error: every code of ours has a text of its own", "[unit][base]") {
    constexpr int last = static_cast<int>(Errc::peer_closed);
    std::set<std::string> texts;
    for (int code = 1; code <= last; ++code)
        texts.insert(make_error_code(static_cast<Errc>(code)).message());
    CHECK(texts.size() == static_cast<std::size_t>(last));
    CHECK(texts.count("unknown error 7") == 0);
}

TEST_CASE("error: a number that is no code of ours still has a text", "[unit][base]") {
    CHECK(error_category().message(999) == "unknown error 999");
}

TEST_CASE("error: our codes are of our category and differ from the system's", "[unit][base]") {
    const std::error_code ours = Errc::read_only;
    CHECK(std::string{ours.category().name()} == "blktap");
    CHECK(ours == Errc::read_only);
    CHECK(ours != std::error_code(ours.value(), std::system_category()));
}

TEST_CASE("error: throwing names the context and the reason", "[unit][base]") {
    const auto by_errno = testing::thrown([] {
        errno = ENOENT;
        throw_system_error("opening /disk");
    });
    CHECK(by_errno.code() == std::errc::no_such_file_or_directory);
    CHECK(std::string{by_errno.what()} == "opening /disk: No such file or directory");
    const auto by_code = testing::thrown([] { throw_error(Errc::image_invalid, "/disk"); });
    CHECK(by_code.code() == Errc::image_invalid);
    CHECK(std::string{by_code.what()} == "/disk: not a valid image");
}

TEST_CASE("error: a reason that is whole stands alone, also in a copy, and the code stays", "[unit][base]") {
    const std::system_error copy = testing::thrown([] { throw_reason(Errc::image_invalid, "/disk: is corrupt"); });
    CHECK(copy.code() == Errc::image_invalid);
    CHECK(std::string{copy.what()} == "/disk: is corrupt");
}

TEST_CASE("error: a Result holds the value or the error", "[unit][base]") {
    CHECK(half(8).value() == 4);
    REQUIRE(half(7).has_error());
    CHECK(half(7).error() == Errc::bad_message);
}

}  // namespace blktap
