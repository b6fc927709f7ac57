// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// SessionImage: the image of a tapdisk. While the tapdisk is asked to go on with another image it may have either, and
// only its answer says which. Until one of the two is known to be open both are kept, here and in the disk's record,
// also over the tapdisk's death; what was asked for last is what its successor opens.
//
// Tested by tests/unit/tapback/session/disk_session_requests_test.cpp.
#pragma once

#include <optional>

#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tapback {

class SessionImage {
  public:
    void set(const ipc::ImageArguments& image, const std::optional<ipc::ImageArguments>& next = {}) {
        now_ = image;
        next_ = next;
        asks_for_now_ = false;
    }
    void reset() noexcept {
        now_.reset();
        next_.reset();
    }
    /// Whether the tapdisk may be asked for `image`: while it may have either of two, for one of these.
    bool may_ask_for(const ipc::ImageArguments& image) const {
        return !next_ || is_same(image, *next_) || is_same(image, *now_);
    }
    /// The tapdisk is about to be asked to open `image`, which it may be asked for.
    void ask_for(const ipc::ImageArguments& image) {
        asks_for_now_ = next_ && !is_same(image, *next_);
        (asks_for_now_ ? now_ : next_) = image;
    }
    /// The tapdisk has refused the image, and so has neither open.
    void keep() noexcept { next_.reset(); }
    /// The tapdisk has opened `image`, which was asked for.
    void change(const ipc::ImageArguments& image) { set(image); }

    /// The answer of a tapdisk that has an image open says which of the two that is. Returns whether that was not
    /// known. One that is paused may be opening the other.
    bool settle(const ipc::DiskState& disk) {
        if (disk.state != ipc::DiskState::State::open) return false;
        const bool is_news = next_.has_value();
        if (is_next(disk)) now_ = next_;
        next_.reset();
        return is_news;
    }

    const std::optional<ipc::ImageArguments>& now() const noexcept { return now_; }
    /// Only while it is not known which of the two the tapdisk has.
    const std::optional<ipc::ImageArguments>& next() const noexcept { return next_; }
    /// The image that was asked for last, whose files the tapdisk may be opening.
    const std::optional<ipc::ImageArguments>& asked_for() const noexcept { return asks_for_next() ? next_ : now_; }
    bool is_now(const ipc::DiskState& disk) const { return is(disk, now_); }
    bool is_next(const ipc::DiskState& disk) const { return is(disk, next_); }
    /// For the record: of two images the one that was asked for last is its next one. Only with an image.
    void put_into(ipc::ImageArguments& image, std::optional<ipc::ImageArguments>& next) const {
        image = *(next_ && asks_for_now_ ? next_ : now_);
        next = next_ && asks_for_now_ ? now_ : next_;
    }

  private:
    static bool is_same(const ipc::ImageArguments& image, const ipc::ImageArguments& other) {
        return image.format == other.format && image.path == other.path;
    }
    bool asks_for_next() const noexcept { return next_ && !asks_for_now_; }
    static bool is(const ipc::DiskState& disk, const std::optional<ipc::ImageArguments>& image) {
        return disk.image && image && disk.image->format == image->format && disk.image->path == image->path;
    }

    std::optional<ipc::ImageArguments> now_;
    std::optional<ipc::ImageArguments> next_;
    bool asks_for_now_ = false;  ///< of two images, the first was asked for again
};

}  // namespace blktap::tapback
