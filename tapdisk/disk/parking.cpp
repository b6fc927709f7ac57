// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/disk/parking.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include "libblktap/base/error.hpp"
#include "libblktap/base/storage_full.hpp"

namespace blktap {
namespace {

/// What storage says while the way to it is broken, or the storage itself, and may be mended.
bool storage_failed(std::error_code error) noexcept {
    constexpr std::array errors{EIO,    ETIMEDOUT, ENOLINK,   EREMOTEIO,    ENODEV,   ENXIO,
                                ESTALE, ENOTCONN,  EHOSTDOWN, EHOSTUNREACH, ENETDOWN, ENETUNREACH};
    return error.category() == std::system_category() && std::ranges::find(errors, error.value()) != errors.end();
}

}  // namespace

Lack Parking::lack_of(const DiskRequest& request, std::error_code error) const noexcept {
    if (request.client->closing()) return Lack::nothing;
    if (storage_full(error)) {
        // An empty flush never ends in an error: see hold().
        if (request.lack == Lack::nothing || !policy_.no_space_timeout || request.plain_flush()) return Lack::space;
        return clock_.now() - request.waits_since < *policy_.no_space_timeout ? Lack::space : Lack::nothing;
    }
    // Not a flush: a second one that succeeds proves nothing.
    const bool may_be_mended = storage_failed(error) || error == Errc::unexpected_end_of_file;
    const bool held = policy_.hold_errors && request.image.kind != ImageRequest::Kind::flush && may_be_mended;
    return held ? Lack::health : Lack::nothing;
}

void Parking::park(DiskRequest& request, Lack lack) noexcept {
    ++times_parked_;
    if (request.lack == Lack::nothing) request.waits_since = clock_.now();
    health_.count(request.lack, lack);
    request.lack = lack;
    parked_.push_back(request);
}

/// An error to an empty flush makes a Linux frontend believe that there is nothing to flush: say nothing instead.
void Parking::hold(DiskRequest& request) noexcept {
    forget(request);
    held_.push_back(request);
}

void Parking::forget(DiskRequest& request) noexcept {
    if (request.lack == Lack::nothing) return;
    health_.count(request.lack, Lack::nothing);
    request.lack = Lack::nothing;
}

}  // namespace blktap
