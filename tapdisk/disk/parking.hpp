// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Parking: the requests that wait for the storage instead of being answered: those that are tried again when it may
// have space or be mended, and the flushes that must not be answered because one failed. Decides by the image's policy
// who waits.
//
// Tested by tests/unit/tapdisk/full_disk_test.cpp, flush_failure_test.cpp and storage_policy_test.cpp.
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

    /// How long requests wait for the storage, and for what, from now on.
    void set_policy(const StoragePolicy& policy) noexcept { policy_ = policy; }
    const StoragePolicy& policy() const noexcept { return policy_; }
    /// Requests wait while the storage fails.
    bool holds_errors() const noexcept { return policy_.hold_errors.value_or(false); }

    /// What `request`, of which the driver says to `retry`, should wait for instead of being answered with an error.
    Lack lack_of(const DiskRequest& request, Retry retry) const noexcept;
    /// `request`, of an image that was cut, waits for another image instead of being answered with an error.
    bool waits_for_whole_image(const DiskRequest& request) const noexcept {
        // An answer to a flush would be about what is lost as well; see hold() for why it is not an error.
        return (request.plain_flush() || holds_errors()) && !request.client->closing();
    }
    /// Keeps `request`, which is in no list, until it is tried again. It counts as waiting until it is over.
    void park(DiskRequest& request, Lack lack) noexcept;
    /// Keeps a flush that no answer would be true to.
    void hold(DiskRequest& request) noexcept;
    /// `request` is over and waits for nothing any more.
    void forget(DiskRequest& request) noexcept;
    /// `request`, which waited, is answered with an error.
    void note_gave_up() noexcept { ++gave_up_; }

    StageList& parked() noexcept { return parked_; }
    const StageList& parked() const noexcept { return parked_; }
    StageList& held() noexcept { return held_; }
    const StageList& held() const noexcept { return held_; }
    Stranded stranded(const DiskClient& client) const noexcept;
    /// Times that a request was parked, and parked requests that were answered with an error.
    std::uint64_t times_parked() const noexcept { return times_parked_; }
    std::uint64_t gave_up() const noexcept { return gave_up_; }

  private:
    const Clock& clock_;
    StorageHealth& health_;
    StoragePolicy policy_;
    StageList parked_;  ///< the storage lacks something: tried again later
    StageList held_;    ///< flushes that must not be answered, since one failed
    std::uint64_t times_parked_ = 0;
    std::uint64_t gave_up_ = 0;
};

}  // namespace blktap
