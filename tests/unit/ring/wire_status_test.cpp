// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The table from errors to wire statuses, row by row.
#include "libblktap/ring/wire_status.hpp"

#include "libblktap/base/error.hpp"
#include "tests/support/catch.hpp"

using namespace blktap;
using ring::Status;
using ring::wire_status;

TEST_CASE("wire status: no error is OKAY", "[unit][ring]") {
    CHECK(wire_status({}) == Status::okay);
    CHECK(wire_status(std::error_code(0, std::system_category())) == Status::okay);
}

TEST_CASE("wire status: only an unsupported operation is EOPNOTSUPP", "[unit][ring]") {
    CHECK(wire_status(Errc::unsupported_operation) == Status::not_supported);
    CHECK(wire_status(std::error_code(EOPNOTSUPP, std::system_category())) == Status::not_supported);
    CHECK(wire_status(std::error_code(EOPNOTSUPP, std::generic_category())) == Status::not_supported);
}

TEST_CASE("wire status: every other error of ours is ERROR", "[unit][ring]") {
    const auto last = static_cast<int>(Errc::peer_closed);
    for (int value = static_cast<int>(Errc::read_only); value <= last; ++value) {
        CHECK(wire_status(static_cast<Errc>(value)) == Status::error);
    }
}

TEST_CASE("wire status: an errno that is not EOPNOTSUPP is ERROR", "[unit][ring]") {
    for (const int code : {EIO, ENOSPC, EDQUOT, EINVAL, EAGAIN, ENOSYS, EROFS, ENOMEM}) {
        CHECK(wire_status(std::error_code(code, std::system_category())) == Status::error);
    }
}
