// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vbd/tapdisk_end.hpp"

namespace blktap::tapback {

TapdiskEnd::TapdiskEnd(EventLoop& loop, DiskSession& session, DiskSituation& situation, DiskStatus& status)
    : session_(session), situation_(situation), status_(status), timer_(loop, [this] { give_up(); }) {}

void TapdiskEnd::end() {
    timer_.disarm();
    session_.end();
}

/// Whether the tapdisk has not answered a request about the rings.
bool TapdiskEnd::has_rings_due() const {
    return session_.tapdisk() != nullptr && situation_.now().link == Situation::Link::busy &&
           session_.state() != Session::ending;
}

void TapdiskEnd::watch() {
    if (!is_leaving() || !has_rings_due()) return timer_.disarm();
    if (!session_.tapdisk()->is_connected()) {
        if (situation_.confirmed(Step::none) && is_leaving()) end();
        return;
    }
    if (!timer_.armed()) timer_.arm(patience);
}

void TapdiskEnd::give_up() {
    if (!has_rings_due()) return;
    const std::string pid = std::to_string(session_.tapdisk()->pid());
    status_.set_problem("its tapdisk, process " + pid + ", does not answer, and is ended");
    end();
}

}  // namespace blktap::tapback
