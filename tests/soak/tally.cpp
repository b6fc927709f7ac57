// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/soak/tally.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace blktap::soak {
namespace {

double milliseconds(Nanoseconds time) noexcept {
    return std::chrono::duration<double, std::milli>(time).count();
}

std::string line(const std::string& name, std::uint64_t number, const std::string& more = "") {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "%-28s %10llu", name.c_str(), static_cast<unsigned long long>(number));
    return text.data() + more + '\n';
}

std::string times_of(std::vector<Nanoseconds> waits) {
    std::ranges::sort(waits);
    std::array<char, 96> text{};
    std::snprintf(text.data(), text.size(), "   median %9.1f ms, worst %9.1f ms", milliseconds(waits[waits.size() / 2]),
                  milliseconds(waits.back()));
    return text.data();
}

}  // namespace

void Tally::did(const std::string& action) {
    const std::lock_guard lock{mutex_};
    ++actions_[action];
}

void Tally::answered(const replay::Statistics& statistics) {
    const std::lock_guard lock{mutex_};
    reads_ += statistics.reads;
    writes_ += statistics.writes;
    flushes_ += statistics.flushes;
    discards_ += statistics.discards;
}

void Tally::verified(std::uint64_t bytes) {
    const std::lock_guard lock{mutex_};
    bytes_verified_ += bytes;
}

void Tally::waited(const std::string& reason, Nanoseconds time) {
    const std::lock_guard lock{mutex_};
    waits_[reason].push_back(time);
}

std::uint64_t Tally::times(const std::string& action) const {
    const std::lock_guard lock{mutex_};
    const auto found = actions_.find(action);
    return found == actions_.end() ? 0 : found->second;
}

std::uint64_t Tally::bytes_verified() const {
    const std::lock_guard lock{mutex_};
    return bytes_verified_;
}

std::string Tally::table() const {
    const std::lock_guard lock{mutex_};
    std::string text = "done to disks and host\n";
    for (const auto& [name, count] : actions_)
        text += line("  " + name, count);
    text += "answered to guests\n" + line("  reads", reads_) + line("  writes", writes_) + line("  flushes", flushes_) +
            line("  discards", discards_) + line("  MB read and right", bytes_verified_ / 1'000'000);
    text += "times that a guest waited, and how long\n";
    for (const auto& [reason, waits] : waits_)
        text += line("  " + reason, waits.size(), times_of(waits));
    return text;
}

}  // namespace blktap::soak
