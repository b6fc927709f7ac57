// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/soak/host/storage.hpp"

#include <array>

#include "tests/support/places.hpp"

namespace blktap::soak {
namespace {

using testing::HangingFileSystem;
using testing::SmallFileSystem;

constexpr std::uint64_t small_bytes = 768u << 20;
constexpr std::size_t hanging_file_bytes = 24u << 20;

}  // namespace

Storage::Storage(unsigned hanging_wanted) : roomy_(BLKTAP_BIN_DIR) {
    if (SmallFileSystem::available(SmallFileSystem::Kind::ext4))
        small_.emplace(SmallFileSystem::Kind::ext4, small_bytes);
    while (HangingFileSystem::available() && hanging_.size() < hanging_wanted)
        hanging_.push_back(std::make_unique<HangingFileSystem>(hanging_file_bytes));
}

bool Storage::has(Place place) const noexcept {
    switch (place) {
        case Place::roomy:
            return true;
        case Place::small:
            return small_.has_value();
        case Place::hanging:
            return !hanging_.empty();
    }
    return false;
}

std::string Storage::path(Place place, const std::string& name, unsigned number) const {
    if (place == Place::hanging) return hanging_.at(number)->file();
    return place == Place::small ? small_->path(name) : roomy_.path(name);
}

/// Bad spells are short: a request may not be answered while one lasts, and is expected soon after.
bool Weather::is_due(Spell& spell, Nanoseconds now) {
    using namespace std::chrono_literals;
    if (now < spell.until) return false;
    const bool first = spell.until == Nanoseconds{0};
    spell.bad = !spell.bad && !first;
    const auto length = spell.bad ? 300ms + random_.below(2'500) * 1ms : 1s + random_.below(6'000) * 1ms;
    spell.until = now + length;
    return !first;
}

void Weather::turn(Nanoseconds now) {
    using Call = HangingFileSystem::Call;
    if (storage_.has(Place::small) && is_due(full_, now)) {
        full_.bad ? storage_.fill() : storage_.free_space();
        if (full_.bad) tally_.did("storage full");
    }
    hangs_.resize(storage_.hanging_count());
    for (std::size_t i = 0; i < hangs_.size(); ++i) {
        if (!is_due(hangs_[i], now)) continue;
        constexpr std::array calls{Call::look, Call::open, Call::read, Call::sync, Call::close};
        if (!hangs_[i].bad) {
            storage_.hanging(i).let_go();
        } else {
            storage_.hanging(i).hold(calls[random_.below(calls.size())]);
            tally_.did("storage hangs");
        }
    }
}

void Weather::clear_up() {
    if (storage_.has(Place::small)) storage_.free_space();
    for (std::size_t i = 0; i < storage_.hanging_count(); ++i)
        storage_.hanging(i).let_go();
}

}  // namespace blktap::soak
