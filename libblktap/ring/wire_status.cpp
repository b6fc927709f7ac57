// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The table of wire_status.hpp.
#include "libblktap/ring/wire_status.hpp"

#include "libblktap/base/error.hpp"

namespace blktap::ring {

Status wire_status(std::error_code error) noexcept {
    if (!error) return Status::okay;
    if (error == Errc::unsupported_operation || error == std::errc::operation_not_supported) {
        return Status::not_supported;
    }
    return Status::error;
}

}  // namespace blktap::ring
