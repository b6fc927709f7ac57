// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/utf8.hpp"

#include "tests/support/catch.hpp"

using namespace blktap;

TEST_CASE("utf8: text stays as it is", "[unit][base]") {
    for (const std::string text : {"", "/srv/a.img", "/srv/\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x92\xbe", "a\nb"}) {
        CAPTURE(text);
        CHECK(is_utf8(text));
        CHECK(escape_invalid_utf8(text) == text);
    }
}

TEST_CASE("utf8: bytes that are no text are shown one by one", "[unit][base]") {
    CHECK(escape_invalid_utf8("/srv/\xff.img") == "/srv/\\xff.img");
    CHECK(escape_invalid_utf8("\xc3") == "\\xc3");
    CHECK(escape_invalid_utf8("\xc3\x28") == "\\xc3(");
    CHECK(escape_invalid_utf8("\xe2\x82z") == "\\xe2\\x82z");
    CHECK(escape_invalid_utf8("\x80\xc3\xa9") == "\\x80\xc3\xa9");
    CHECK_FALSE(is_utf8("a\xff"));
}

TEST_CASE("utf8: longer forms than needed, halves of pairs and numbers beyond the last are no text", "[unit][base]") {
    for (const std::string text : {"\xc0\xaf", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
                                   "\xf4\x90\x80\x80", "\xf5\x80\x80\x80"}) {
        CAPTURE(text);
        CHECK_FALSE(is_utf8(text));
        CHECK(is_utf8(escape_invalid_utf8(text)));
    }
    CHECK(is_utf8("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf"));
}
