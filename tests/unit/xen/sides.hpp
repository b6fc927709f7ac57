// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The two domains of these tests, both in this process.
#pragma once

#include <cstdint>

#include "tests/fakexen/control.hpp"

namespace blktap::testing {

inline constexpr std::uint16_t our_domain = 0;
inline constexpr std::uint16_t guest_domain = 5;

/// What `make` opens belongs to the guest.
template <class Make>
auto as_guest(Make make) {
    const fakexen::ActAs guest{guest_domain};
    return make();
}

}  // namespace blktap::testing
