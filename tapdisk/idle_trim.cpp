// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/idle_trim.hpp"

namespace blktap {
namespace {

constexpr Nanoseconds idle_before_trim = std::chrono::seconds(2);

}  // namespace

void IdleTrim::arm() {
    taken_before_ = scheduler_.taken();
    timer_.arm(idle_before_trim);
}

void IdleTrim::look() {
    if (scheduler_.taken() != taken_before_ || connections_.in_flight() > 0) return arm();
    for (const auto& connection : connections_.list())
        connection->client().trim();
}

}  // namespace blktap
