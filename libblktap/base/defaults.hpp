// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Defaults of tapdisk's options that tapback states too, because it hands them on; neither includes the other.
#pragma once

namespace blktap {

/// --poll-us: longer than a wake-up takes, about as long as a fast disk does (docs/decisions/0010).
inline constexpr unsigned default_poll_us = 50;

}  // namespace blktap
