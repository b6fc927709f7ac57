// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/soak/action.hpp"

#include <algorithm>
#include <sstream>
#include <stdexcept>

namespace blktap::soak {

Actions::Actions(const std::string& names) {
    if (names.empty()) {
        for (const ActionRow& row : action_rows)
            enabled_[static_cast<std::size_t>(row.action)] = row.action != Action::kill_storm;
        return;
    }
    std::istringstream words(names);
    for (std::string name; std::getline(words, name, ',');) {
        const auto row = std::ranges::find_if(action_rows, [&](const ActionRow& each) { return name == each.name; });
        if (row == action_rows.end()) throw std::runtime_error("no action of a soak: " + name);
        enabled_[static_cast<std::size_t>(row->action)] = true;
    }
}

std::optional<ActionRow> Actions::choose(replay::Random& random) const noexcept {
    unsigned sum = 0;
    for (const ActionRow& row : action_rows)
        sum += has(row.action) ? row.weight : 0;
    if (sum == 0) return std::nullopt;
    auto point = static_cast<unsigned>(random.below(sum));
    for (const ActionRow& row : action_rows) {
        const unsigned weight = has(row.action) ? row.weight : 0;
        if (point < weight) return row;
        point -= weight;
    }
    return std::nullopt;
}

}  // namespace blktap::soak
