// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/waiting_requests.hpp"

#include <algorithm>
#include <iterator>

namespace blktap::tapback {

void WaitingRequests::add(const std::string& name, Call go_on, Call give_up) {
    waiting_.push_back({name, loop_.clock().now() + patience, std::move(go_on), std::move(give_up)});
    if (!timer_.armed()) timer_.arm(patience);
}

void WaitingRequests::release(const std::string& name) {
    const auto others =
        std::stable_partition(waiting_.begin(), waiting_.end(), [&](const Waiting& one) { return one.name != name; });
    // The calls may add others.
    std::vector<Waiting> released(std::make_move_iterator(others), std::make_move_iterator(waiting_.end()));
    waiting_.erase(others, waiting_.end());
    for (const Waiting& one : released)
        one.go_on();
}

void WaitingRequests::expire() {
    const Nanoseconds now = loop_.clock().now();
    const auto rest =
        std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& one) { return one.deadline > now; });
    std::vector<Waiting> expired(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(rest));
    waiting_.erase(waiting_.begin(), rest);
    if (!waiting_.empty()) timer_.arm(waiting_.front().deadline - now);
    for (const Waiting& one : expired)
        one.give_up();
}

}  // namespace blktap::tapback
