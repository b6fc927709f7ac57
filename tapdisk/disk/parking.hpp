// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Parking: the requests that wait for the storage instead of being answered: requests that are retried when the storage
// may have space or be healthy again, and flushes that must not be answered because a flush failed. The image's policy
// decides which requests wait.
//
// Tested by tests/unit/tapdisk/disk/full_disk_test.cpp, flush_failure_test.cpp and storage_policy_test.cpp.
#pragma once

#include "libblktap/base/clock.hpp"
#include "tapdisk/disk/disk_request.hpp"
#include "tapdisk/disk/storage_health.hpp"
#include "tapdisk/disk/storage_policy.hpp"

namespace blktap {

class Parking {
  public:
    /// What the end of a client would answer with an error.
    struct Stranded {
        std::size_t parked = 0;
        std::size_t held_flushes = 0;
    };

    /// Both outlive the object.
    Parking(const Clock& clock, StorageHealth& health) noexcept : clock_(clock), health_(health) {}

    /// Sets how long requests wait for the storage from now on, and for what.
    void set_policy(const StoragePolicy& policy) noexcept { policy_ = policy; }
    const StoragePolicy& policy() const noexcept { return policy_; }
    /// Whether requests wait while the storage fails.
    bool holds_errors() const noexcept { return policy_.hold_errors.value_or(false); }

    /// Returns what `request`, which failed with `retry`, waits for instead of being answered with the error.
    Lack lack_of(const DiskRequest& request, Retry retry) const noexcept;
    /// Whether `request`, of an image that was cut, waits for another image instead of being answered with an error.
    bool waits_for_whole_image(const DiskRequest& request) const noexcept {
        // A flush gets no error, see hold(), and no success, since it would cover lost data.
        return (request.plain_flush() || holds_errors()) && !request.client->closing();
    }
    /// Keeps `request`, which is in no list, until it is retried. It counts as waiting until it is finished.
    void park(DiskRequest& request, Lack lack) noexcept;
    /// Keeps a flush for which no answer would be true.
    void hold(DiskRequest& request) noexcept;
    /// `request` is finished: it no longer counts as waiting.
    void forget(DiskRequest& request) noexcept;
    /// Counts a request that waited and is answered with an error.
    void note_gave_up() noexcept { ++gave_up_; }

    StageList& parked() noexcept { return parked_; }
    const StageList& parked() const noexcept { return parked_; }
    StageList& held() noexcept { return held_; }
    const StageList& held() const noexcept { return held_; }
    Stranded stranded(const DiskClient& client) const noexcept;
    /// How often requests were parked, and how many parked requests were answered with an error.
    std::uint64_t times_parked() const noexcept { return times_parked_; }
    std::uint64_t gave_up() const noexcept { return gave_up_; }

  private:
    const Clock& clock_;
    StorageHealth& health_;
    StoragePolicy policy_;
    StageList parked_;  ///< lack space or health: retried later
    StageList held_;    ///< flushes that must not be answered, because a flush failed
    std::uint64_t times_parked_ = 0;
    std::uint64_t gave_up_ = 0;
};

}  // namespace blktap
