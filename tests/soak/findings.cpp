// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/soak/findings.hpp"

#include <array>
#include <cstdio>
#include <ctime>

namespace blktap::soak {
namespace {

/// As tapback's log has it, so that both can be read side by side.
std::string time_of_day() {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    std::tm parts{};
    ::gmtime_r(&now.tv_sec, &parts);
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%02d:%02d:%02d.%03ld", parts.tm_hour, parts.tm_min, parts.tm_sec,
                  now.tv_nsec / 1'000'000);
    return text.data();
}

}  // namespace

void Diary::note(const std::string& text) {
    const std::lock_guard lock{mutex_};
    if (!entries_.empty() && entries_.back().text == text) {
        ++entries_.back().times;
        return;
    }
    entries_.push_back({time_of_day(), text, 1});
    if (entries_.size() > entries_max) entries_.pop_front();
}

std::string Diary::last() const {
    const std::lock_guard lock{mutex_};
    std::string text;
    for (const Entry& entry : entries_) {
        text += "    " + entry.time + " " + entry.text;
        if (entry.times > 1) text += " (" + std::to_string(entry.times) + " times)";
        text += '\n';
    }
    return text;
}

void Findings::add(const std::string& subject, const std::string& what, const Diary& diary) {
    const std::lock_guard lock{mutex_};
    ++count_;
    std::fprintf(stderr, "FINDING %s, %s: %s\n  BLKTAP_SEED=%llu; what was done to it last:\n%s", time_of_day().c_str(),
                 subject.c_str(), what.c_str(), static_cast<unsigned long long>(seed_), diary.last().c_str());
    std::fflush(stderr);
}

}  // namespace blktap::soak
