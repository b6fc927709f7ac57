// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// thrown(): the std::system_error that a piece of code throws, so that a test can look at its code and its text.
#pragma once

#include <system_error>

#include "tests/support/catch.hpp"

namespace blktap::testing {

template <class Code>
std::system_error thrown(Code code) {
    try {
        code();
    } catch (const std::system_error& error) {
        return error;
    }
    FAIL("nothing was thrown");
    return std::system_error{std::error_code{}};
}

}  // namespace blktap::testing
