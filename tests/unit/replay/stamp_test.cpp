// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/replay/stamp.hpp"

#include <array>

#include "tests/support/catch.hpp"

using namespace blktap;
using namespace blktap::replay;

namespace {

std::array<std::byte, sector_size_bytes> stamped(std::uint64_t sector, std::uint64_t generation) {
    std::array<std::byte, sector_size_bytes> bytes{};
    write_stamp(bytes, {0, sector, 77, 5, generation, 0});
    return bytes;
}

}  // namespace

TEST_CASE("stamp: what was written is read back", "[unit][replay]") {
    const auto bytes = stamped(123, 4);
    const FoundStamp found = read_stamp(bytes);
    CHECK(found.state == StampState::valid);
    CHECK(found.stamp.sector == 123);
    CHECK(found.stamp.request_id == 77);
    CHECK(found.stamp.seed == 5);
    CHECK(found.stamp.generation == 4);
}

TEST_CASE("stamp: a change of any byte is noticed", "[unit][replay]") {
    for (std::size_t i = 0; i < sector_size_bytes; ++i) {
        auto bytes = stamped(123, 4);
        bytes[i] ^= std::byte{0x10};
        CAPTURE(i);
        REQUIRE(read_stamp(bytes).state != StampState::valid);
    }
}

TEST_CASE("stamp: halves of two writes of one sector do not make a stamp", "[unit][replay]") {
    auto bytes = stamped(123, 4);
    const auto newer = stamped(123, 5);
    std::copy(newer.begin() + 256, newer.end(), bytes.begin() + 256);
    CHECK(read_stamp(bytes).state == StampState::corrupt);
}

TEST_CASE("stamp: zeros and foreign data are told apart", "[unit][replay]") {
    std::array<std::byte, sector_size_bytes> bytes{};
    CHECK(read_stamp(bytes).state == StampState::zeros);
    bytes[511] = std::byte{1};
    CHECK(read_stamp(bytes).state == StampState::absent);
}
