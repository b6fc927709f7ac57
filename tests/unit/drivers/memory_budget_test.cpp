// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/shared/memory_budget.hpp"

#include "libblktap/base/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/thrown.hpp"

using namespace blktap;
using namespace blktap::testing;

TEST_CASE("memory budget: what is more than is left is refused by the image's and the option's name",
          "[unit][drivers]") {
    MemoryBudget budget{10 << 20};
    budget.take(6 << 20, "/srv/top", "its L1 table");
    const auto refused = thrown([&] { budget.take((4 << 20) + 1, "/srv/base", "its L1 table"); });
    CHECK(refused.code() == Errc::image_invalid);
    CHECK_THAT(refused.what(), Catch::StartsWith("/srv/base: its L1 table would take 5 MiB of memory, besides 6 MiB") &&
                                   Catch::Contains("the option memory-budget allows 10 MiB"));
    CHECK(budget.used_bytes() == 6 << 20);
    CHECK(thrown([&] { budget.take(~std::uint64_t{0}, "/srv/base", "all"); }).code() == Errc::image_invalid);
    budget.take(4 << 20, "/srv/base", "its L1 table");
    CHECK(budget.used_bytes() == 10 << 20);
}

TEST_CASE("memory budget: what is borrowed comes back, and counts while it is needed", "[unit][drivers]") {
    MemoryBudget budget{10 << 20};
    {
        const BorrowedMemory piece{budget, 8 << 20, "/srv/top", "its table"};
        CHECK(thrown([&] { budget.take(4 << 20, "/srv/top", "more"); }).code() == Errc::image_invalid);
    }
    CHECK(budget.used_bytes() == 0);
    CHECK(budget.peak_bytes() == 8 << 20);
}
