// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/session/deaths.hpp"

#include <algorithm>
#include <ctime>

#include "libblktap/base/log.hpp"

namespace blktap::tapback {
namespace {

/// For people who compare it with the host's log.
std::string time_of_day() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    char text[16] = "";
    (void)std::strftime(text, sizeof text, "%H:%M:%S", &parts);
    return std::string(text) + " UTC";
}

}  // namespace

void Deaths::add() {
    const Nanoseconds now = clock_.now();
    std::erase_if(times_, [now](Nanoseconds time) { return time + window <= now; });
    times_.push_back(now);
    while (times_.size() > std::max(limit_, 1U))
        times_.pop_front();
}

std::vector<std::uint64_t> Deaths::times() const {
    std::vector<std::uint64_t> times;
    for (const Nanoseconds time : times_)
        times.push_back(static_cast<std::uint64_t>(time.count()));
    return times;
}

void Deaths::restore(const std::vector<std::uint64_t>& times, const std::string& held) {
    held_ = held;
    const Nanoseconds now = clock_.now();
    for (const std::uint64_t each : times) {
        const Nanoseconds time(static_cast<std::int64_t>(each));
        // What lies ahead is of an earlier boot.
        if (time <= now && now < time + window) times_.push_back(time);
    }
}

void Deaths::tell(const std::string& pid, const std::string& reason, bool another_goes_on) const {
    log::warning("tapdisk.died", {{"of", disk_},
                                  {"pid", pid},
                                  {"reason", reason},
                                  {"state", another_goes_on ? "another one goes on" : "not served"}});
}

std::string Deaths::problem(const std::string& reason) const {
    std::string text = "its tapdisk " + reason + " at " + time_of_day();
    if (times_.size() > 1) text += ", the last of " + std::to_string(times_.size()) + " within a minute";
    return text + "; " + cure();
}

}  // namespace blktap::tapback
