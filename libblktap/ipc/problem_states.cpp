// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/ipc/problem_states.hpp"

#include <algorithm>

namespace blktap::ipc {

bool ProblemStates::is_told(const std::string& name) const noexcept {
    return std::ranges::find(told_.problems, name, &Problem::name) != told_.problems.end();
}

void ProblemStates::see(const Problems& now_wrong, Nanoseconds now) {
    wrong_.clear();
    for (const Problem& problem : now_wrong.problems) {
        if (wrong_.size() == problems_max) break;
        const std::string name = problem.name.substr(0, text_max_bytes);
        wrong_[name] = {name, problem.since, problem.text.substr(0, text_max_bytes)};
    }
    for (Problem& problem : told_.problems) {
        const auto found = wrong_.find(problem.name);
        if (found == wrong_.end()) {
            away_.emplace(problem.name, now);
        } else {
            away_.erase(problem.name);
            problem.text = found->second.text;
        }
    }
}

std::vector<ProblemStates::Change> ProblemStates::take(Nanoseconds now) {
    std::vector<Change> changes;
    for (auto entry = away_.begin(); entry != away_.end();) {
        if (entry->second + quiet_ > now) {
            ++entry;
            continue;
        }
        const auto told = std::ranges::find(told_.problems, entry->first, &Problem::name);
        changes.push_back({*told, false});
        told_.problems.erase(told);
        entry = away_.erase(entry);
    }
    for (const auto& [name, problem] : wrong_) {
        if (is_told(name)) continue;
        if (told_.problems.size() == problems_max || !beginnings_.take(now)) break;
        told_.problems.push_back(problem);
        changes.push_back({problem, true});
    }
    return changes;
}

std::optional<Nanoseconds> ProblemStates::next(Nanoseconds now) const {
    std::optional<Nanoseconds> first;
    const auto consider = [&](Nanoseconds time) { first = first ? std::min(*first, time) : time; };
    for (const auto& [name, since] : away_)
        consider(since + quiet_);
    if (told_.problems.size() == problems_max) return first;
    for (const auto& [name, problem] : wrong_)
        if (!is_told(name)) consider(beginnings_.next(now));
    return first;
}

}  // namespace blktap::ipc
