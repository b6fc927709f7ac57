// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/base/units.hpp"

#include <limits>

#include "tests/support/catch.hpp"

namespace blktap {
namespace {

constexpr std::uint64_t huge = std::numeric_limits<std::uint64_t>::max();

}  // namespace

TEST_CASE("sector range: fits up to the last sector and no further", "[unit][base]") {
    CHECK(SectorRange{0, 100}.fits(100));
    CHECK(SectorRange{99, 1}.fits(100));
    CHECK(SectorRange{100, 0}.fits(100));
    CHECK_FALSE(SectorRange{99, 2}.fits(100));
    CHECK_FALSE(SectorRange{100, 1}.fits(100));
    CHECK_FALSE(SectorRange{101, 0}.fits(100));
}

TEST_CASE("sector range: a sum that would wrap does not fit", "[unit][base]") {
    CHECK_FALSE(SectorRange{huge, 1}.fits(100));
    CHECK_FALSE(SectorRange{1, huge}.fits(100));
    CHECK_FALSE(SectorRange{huge, huge}.fits(huge));
    CHECK(SectorRange{0, huge}.fits(huge));
}

TEST_CASE("sector range: overlap is of half-open ranges", "[unit][base]") {
    CHECK(SectorRange{0, 8}.overlaps({7, 1}));
    CHECK(SectorRange{7, 1}.overlaps({0, 8}));
    CHECK(SectorRange{0, 8}.overlaps({2, 2}));
    CHECK_FALSE(SectorRange{0, 8}.overlaps({8, 8}));
    CHECK_FALSE(SectorRange{8, 8}.overlaps({0, 8}));
}

TEST_CASE("sector range: bytes are 512 to a sector", "[unit][base]") {
    CHECK(SectorRange{3, 2}.offset_bytes() == 1536);
    CHECK(SectorRange{3, 2}.length_bytes() == 1024);
    CHECK(SectorRange{3, 2}.end() == 5);
    CHECK(sectors_per_page == 8);
}

TEST_CASE("units: rounding stays put on a multiple", "[unit][base]") {
    CHECK(round_down(4095, 4096) == 0);
    CHECK(round_down(4096, 4096) == 4096);
    CHECK(round_up(1, 4096) == 4096);
    CHECK(round_up(4096, 4096) == 4096);
    CHECK(round_up(0, 4096) == 0);
    CHECK(is_aligned(8192, 4096));
    CHECK_FALSE(is_aligned(8192 + 512, 4096));
}

}  // namespace blktap
