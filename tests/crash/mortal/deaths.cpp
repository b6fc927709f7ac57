// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/crash/mortal/deaths.hpp"

#include <cstring>
#include <utility>

#include "tests/crash/mortal/death.hpp"
#include "tests/support/process.hpp"

namespace blktap::testing {

void Deaths::add(bool paused) {
    const std::string notes = read_file(notes_path_);
    std::string cause;
    last_ = killed_at_;
    last_store_.clear();
    if (notes.size() >= (notes_read_ + 1) * sizeof(mortal::DeathNote)) {
        mortal::DeathNote note;
        std::memcpy(&note, notes.data() + notes_read_ * sizeof note, sizeof note);
        ++notes_read_;
        last_store_ = note.store.data();
        cause = last_store_.empty() ? "time" : last_store_;
        last_ = Nanoseconds(note.when_ns);
    }
    ++by_cause_[cause];
    ++count_;
    history_ += (cause.empty() ? "killed" : cause) + (paused ? " (paused) " : " ");
}

std::optional<Nanoseconds> Deaths::take_gap(const Clock& clock) noexcept {
    if (!last_) return std::nullopt;
    return clock.now() - *std::exchange(last_, std::nullopt);
}

}  // namespace blktap::testing
