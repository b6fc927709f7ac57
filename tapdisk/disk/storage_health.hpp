// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// StorageHealth: the state of one disk's storage, for all connections: whether a flush failed, whether writes are
// refused, whether a file of the image became shorter, and how many requests wait for the storage. The only owner of
// these facts: they outlive connections and, where a comment says so, images.
//
// Tested by tests/unit/tapdisk/disk/flush_failure_test.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <system_error>

namespace blktap {

/// What the storage lacks for a request.
enum class Lack : std::uint8_t { nothing, space, health };

/// The error for a request that waited for `lack` in vain.
inline std::error_code error_of(Lack lack) noexcept {
    return std::make_error_code(lack == Lack::space ? std::errc::no_space_on_device : std::errc::io_error);
}

class StorageHealth {
  public:
    /// Requests that are not answered because the storage lacks something: parked, or being tried again.
    struct Waiting {
        std::size_t for_space = 0;
        std::size_t for_health = 0;  ///< the storage answered with an error

        friend bool operator==(const Waiting&, const Waiting&) = default;
    };

    /// A flush failed and the loss was not accepted: flushes are held, until accept_loss() or image_closed().
    bool flush_failed() const noexcept { return flush_failed_; }
    /// Writes are refused because a flush failed; until image_opened() or image_closed().
    bool writes_refused() const noexcept { return writes_refused_; }
    /// A file of the image became shorter: data behind its new end is lost, and a write there would put zeros in its
    /// place. All requests fail, or wait by the policy, and flushes wait; until image_opened().
    bool image_cut() const noexcept { return image_cut_; }

    void fail_flush() noexcept {
        flush_failed_ = true;
        writes_refused_ = true;
    }
    void cut_image() noexcept { image_cut_ = true; }
    /// The operator accepts the loss. Writes are still refused, until the image is opened again.
    void accept_loss() noexcept { flush_failed_ = false; }
    /// An image was opened, perhaps the same again: the kernel reports failed writes to the new open file again.
    void image_opened() noexcept { writes_refused_ = image_cut_ = false; }
    /// The image was closed for good: the next one starts with a clean state.
    void image_closed() noexcept { flush_failed_ = writes_refused_ = image_cut_ = false; }

    const Waiting& waiting() const noexcept { return waiting_; }
    /// Counts one request that waits for `now`, and no longer for `before`.
    void count(Lack before, Lack now) noexcept {
        if (before == Lack::space) --waiting_.for_space;
        if (before == Lack::health) --waiting_.for_health;
        if (now == Lack::space) ++waiting_.for_space;
        if (now == Lack::health) ++waiting_.for_health;
    }

  private:
    bool flush_failed_ = false;
    bool writes_refused_ = false;
    bool image_cut_ = false;
    Waiting waiting_;
};

}  // namespace blktap
