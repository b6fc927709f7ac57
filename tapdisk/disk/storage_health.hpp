// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// StorageHealth: the state of one disk's storage, for all connections: whether a flush failed, whether writes are
// refused, whether a file of the image became shorter, and how many requests wait for the storage. The only owner of
// these facts: they outlive connections and, where a comment says so, images.
//
// Tested by tests/unit/tapdisk/disk/flush_failure_test.cpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <system_error>
#include <utility>

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

    /// What changes a promise to the guests, for the tapdisk that goes on where this one dies.
    struct Kept {
        static constexpr std::uint32_t flush_failed = 1, writes_refused = 2, image_cut = 4, flush_late = 8;
        static constexpr std::uint32_t all_bits = flush_failed | writes_refused | image_cut | flush_late;
        std::uint32_t bits = 0;
        /// Flushes of this sequence and before are about data of which the operator accepted the loss: 0, none.
        std::uint64_t lost_until = 0;

        friend bool operator==(const Kept&, const Kept&) = default;
    };

    /// A flush failed and the loss was not accepted: flushes are held, until accept_loss() or image_closed().
    bool flush_failed() const noexcept { return flush_failed_; }
    /// Whether a flush of this sequence is about data of which the operator accepted the loss: its success would be a
    /// lie, wherever it waited at that moment.
    bool lost(std::uint64_t sequence) const noexcept { return sequence <= lost_until_; }
    /// Writes are refused because a flush failed; until image_opened() or image_closed().
    bool writes_refused() const noexcept { return writes_refused_; }
    /// A file of the image became shorter: data behind its new end is lost, and a write there would put zeros in its
    /// place. All requests fail, or wait by the policy, and flushes wait; until image_opened().
    bool image_cut() const noexcept { return image_cut_; }
    /// A flush has been under way for so long that the storage may be failing: if this tapdisk dies before the kernel's
    /// answer, nobody ever hears of an error, and a flush of the next one might succeed.
    bool flush_late() const noexcept { return flush_late_; }

    void set_flush_late(bool late) noexcept {
        flush_late_ = late;
        changed_();
    }
    void fail_flush() noexcept {
        flush_failed_ = writes_refused_ = true;
        opened_since_ = false;
        changed_();
    }
    void cut_image() noexcept {
        image_cut_ = true;
        opened_since_ = false;
        changed_();
    }
    /// The operator accepts the loss, which the requests up to `sequence` know of. Writes are refused still, until the
    /// image is opened again.
    void accept_loss(std::uint64_t sequence) noexcept {
        if (flush_failed_) lost_until_ = sequence;
        flush_failed_ = false;
        changed_();
    }
    /// An image was opened, perhaps the same again: the kernel reports failed writes to the new open file again.
    void image_opened() noexcept {
        writes_refused_ = image_cut_ = false;
        changed_();
    }
    /// The operator resumes a disk whose image is open. The image of a tapdisk that goes on for a dead one was opened
    /// after what that one knew of, so nothing else is to be done.
    void resumed() noexcept {
        if (std::exchange(opened_since_, false)) image_opened();
    }
    /// The image was closed for good: the next one starts with a clean state.
    void image_closed() noexcept {
        flush_failed_ = writes_refused_ = image_cut_ = flush_late_ = false;
        lost_until_ = 0;
        changed_();
    }

    Kept kept() const noexcept {
        return {(flush_failed_ ? Kept::flush_failed : 0) | (writes_refused_ ? Kept::writes_refused : 0) |
                    (image_cut_ ? Kept::image_cut : 0) | (flush_late_ ? Kept::flush_late : 0),
                lost_until_};
    }
    /// What a tapdisk has kept that has died; added to what is known. A flush that was late counts as failed.
    void restore(const Kept& kept) noexcept {
        const bool late = (kept.bits & Kept::flush_late) != 0;
        flush_failed_ = flush_failed_ || late || (kept.bits & Kept::flush_failed) != 0;
        writes_refused_ = writes_refused_ || late || (kept.bits & Kept::writes_refused) != 0;
        image_cut_ = image_cut_ || (kept.bits & Kept::image_cut) != 0;
        lost_until_ = std::max(lost_until_, kept.lost_until);
        opened_since_ = true;
        changed_();
    }
    /// `changed` is called when kept() may be another, before any request is answered that depends on it. It must not
    /// throw.
    void on_change(std::function<void()> changed) { changed_ = std::move(changed); }

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
    bool flush_late_ = false;
    bool opened_since_ = false;  ///< what is refused is so because of what another tapdisk knew
    std::uint64_t lost_until_ = 0;
    std::function<void()> changed_ = [] {};
    Waiting waiting_;
};

}  // namespace blktap
