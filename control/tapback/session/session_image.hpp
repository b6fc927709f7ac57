// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// SessionImage: the image of a tapdisk. While the tapdisk is asked to go on with another image it may have either, and
// only its answer says which. Until then both are kept, here and in the disk's record.
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
    }
    void reset() noexcept {
        now_.reset();
        next_.reset();
    }
    /// The tapdisk is about to be asked to open `image` in place of its own.
    void ask_for(const ipc::ImageArguments& image) { next_ = image; }
    /// The tapdisk was not asked after all, or has refused the next image.
    void keep() noexcept { next_.reset(); }
    /// The tapdisk has opened `image`, which was asked for.
    void change(const ipc::ImageArguments& image) { set(image); }

    /// The tapdisk's answer says which of the two it has. Returns whether that was not known.
    bool settle(const ipc::DiskState& disk) {
        const bool is_news = next_.has_value();
        if (is_next(disk)) now_ = next_;
        next_.reset();
        return is_news;
    }

    const std::optional<ipc::ImageArguments>& now() const noexcept { return now_; }
    /// Only while it is not known which of the two the tapdisk has.
    const std::optional<ipc::ImageArguments>& next() const noexcept { return next_; }
    /// The image whose files the tapdisk may be opening.
    const std::optional<ipc::ImageArguments>& asked_for() const noexcept { return next_ ? next_ : now_; }
    bool is_now(const ipc::DiskState& disk) const { return is(disk, now_); }
    bool is_next(const ipc::DiskState& disk) const { return is(disk, next_); }

  private:
    static bool is(const ipc::DiskState& disk, const std::optional<ipc::ImageArguments>& image) {
        return disk.image && image && disk.image->format == image->format && disk.image->path == image->path;
    }

    std::optional<ipc::ImageArguments> now_;
    std::optional<ipc::ImageArguments> next_;
};

}  // namespace blktap::tapback
