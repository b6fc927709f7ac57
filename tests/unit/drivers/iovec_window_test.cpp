// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/shared/iovec_window.hpp"

#include <array>
#include <cstddef>
#include <vector>

#include "tests/support/catch.hpp"

using namespace blktap;

namespace {

struct Memory {
    Memory() : entries{{{bytes.data(), 1000}, {bytes.data() + 1000, 500}, {bytes.data() + 1500, 1500}}} {
        bytes.fill(1);
    }
    std::array<unsigned char, 3000> bytes{};
    std::array<iovec, 3> entries;
};

std::size_t sum(std::span<const iovec> entries) {
    std::size_t result = 0;
    for (const iovec& entry : entries)
        result += entry.iov_len;
    return result;
}

}  // namespace

TEST_CASE("iovec window: pieces follow one another, also inside of an entry", "[unit][qcow2]") {
    Memory memory;
    IovecWindow window{memory.entries};
    std::size_t at = 0;
    for (const std::size_t length : {400UL, 600UL, 700UL, 1UL, 1299UL}) {
        const auto piece = window.take(length);
        CHECK(sum(piece) == length);
        CHECK(piece.front().iov_base == memory.bytes.data() + at);
        at += length;
        window.drop();
    }
    CHECK(at == 3000);
}

TEST_CASE("iovec window: a piece that I/O has moved forward leaves the next one alone", "[unit][qcow2]") {
    Memory memory;
    IovecWindow window{memory.entries};
    for (iovec& entry : window.take(1200))
        entry = {static_cast<unsigned char*>(entry.iov_base) + entry.iov_len, 0};
    window.drop();
    const auto piece = window.take(1800);
    CHECK(piece.front().iov_base == memory.bytes.data() + 1200);
    CHECK(sum(piece) == 1800);
}

TEST_CASE("iovec window: zeros go over a piece and nothing else", "[unit][qcow2]") {
    Memory memory;
    IovecWindow window{memory.entries};
    window.take(900);
    window.drop();
    window.zero(700);
    for (std::size_t i = 0; i < memory.bytes.size(); ++i)
        REQUIRE(memory.bytes[i] == (i >= 900 && i < 1600 ? 0 : 1));
}
