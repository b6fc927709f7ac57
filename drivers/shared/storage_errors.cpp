// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/shared/storage_errors.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include "libblktap/base/error.hpp"
#include "libblktap/base/storage_full.hpp"

namespace blktap {
namespace {

bool storage_failed(std::error_code error) noexcept {
    constexpr std::array errors{EIO,    ETIMEDOUT, ENOLINK,   EREMOTEIO,    ENODEV,   ENXIO,
                                ESTALE, ENOTCONN,  EHOSTDOWN, EHOSTUNREACH, ENETDOWN, ENETUNREACH};
    return error.category() == std::system_category() && std::ranges::find(errors, error.value()) != errors.end();
}

}  // namespace

Retry retry_of(std::error_code error) noexcept {
    if (storage_full(error)) return Retry::when_space;
    if (storage_failed(error) || error == Errc::unexpected_end_of_file) return Retry::when_healthy;
    return Retry::never;
}

}  // namespace blktap
