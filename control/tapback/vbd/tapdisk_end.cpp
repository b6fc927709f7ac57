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

/// Whether the tapdisk has not answered a request about the rings, or does not yet go on with those of a dead one.
bool TapdiskEnd::has_rings_due() const {
    const bool may_come = session_.tapdisk() != nullptr || session_.state() == Session::reviving;
    const bool is_due = situation_.now().link == Situation::Link::busy || is_reviving(session_.state());
    return may_come && is_due && session_.state() != Session::ending;
}

void TapdiskEnd::watch() {
    if (!is_leaving() || !has_rings_due()) return timer_.disarm();
    const bool nobody_waits = situation_.is_domain_dead() && is_reviving(session_.state());
    if (nobody_waits) return end();
    if (session_.tapdisk() != nullptr && !session_.tapdisk()->is_connected()) {
        if (situation_.confirmed(Step::none) && is_leaving()) end();
        return;
    }
    if (!timer_.armed()) timer_.arm(patience);
}

void TapdiskEnd::give_up() {
    if (!has_rings_due()) return;
    const TapdiskHandle* const tapdisk = session_.tapdisk();
    const std::string which = tapdisk != nullptr ? ", process " + std::to_string(tapdisk->pid()) + "," : "";
    status_.set_problem("its tapdisk" + which + " does not answer, and is ended");
    end();
}

}  // namespace blktap::tapback
