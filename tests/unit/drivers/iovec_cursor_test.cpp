// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/shared/iovec_cursor.hpp"

#include <array>
#include <string>
#include <string_view>

#include "tests/support/catch.hpp"

using blktap::IovecCursor;

namespace {

std::span<std::byte> bytes_of(std::string& text) {
    return std::as_writable_bytes(std::span{text});
}

}  // namespace

TEST_CASE("iovec cursor: gathers across entries, empty ones too, from where it stopped", "[unit][drivers]") {
    std::string one = "ab", two = "cdef", none;
    const std::array<iovec, 4> data{{{one.data(), 2}, {none.data(), 0}, {two.data(), 4}, {none.data(), 0}}};
    IovecCursor cursor{data};
    std::string first(3, '.'), second(3, '.');
    cursor.copy_to(bytes_of(first));
    cursor.copy_to(bytes_of(second));
    CHECK(first == "abc");
    CHECK(second == "def");
}

TEST_CASE("iovec cursor: scatters over entries and leaves the rest alone", "[unit][drivers]") {
    std::string one = "..", two = "....", text = "abc";
    const std::array<iovec, 2> data{{{one.data(), 2}, {two.data(), 4}}};
    IovecCursor cursor{data};
    cursor.copy_from(bytes_of(text));
    CHECK(one == "ab");
    CHECK(two == "c...");
    cursor.copy_from(bytes_of(text));
    CHECK(two == "cabc");
}
