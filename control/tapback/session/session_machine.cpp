// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/session/session_machine.hpp"

namespace blktap::tapback {
namespace {

SessionTurn died(const SessionFacts& facts) noexcept {
    if (!facts.is_disks) return {Session::none, SessionStep::forget_image};
    if (facts.may_revive) return {Session::reviving, SessionStep::revive};
    return {Session::none, SessionStep::hold};
}

SessionTurn while_none(SessionEvent event, const SessionFacts& facts) noexcept {
    switch (event) {
        case SessionEvent::started:
            if (!facts.has_image) return {Session::idle, SessionStep::none};
            return {Session::opening, SessionStep::open_image};
        case SessionEvent::found:
            return {Session::asking, SessionStep::ask};
        case SessionEvent::missing:
            return died(facts);
        case SessionEvent::unanswered:
            return {Session::lost, SessionStep::ask_later};
        case SessionEvent::revive:
            if (!facts.has_image) return {Session::none, SessionStep::none};
            return {Session::reviving, SessionStep::revive};
        default:
            return {Session::none, SessionStep::none};
    }
}

SessionTurn while_idle(SessionEvent event, const SessionFacts& facts) noexcept {
    switch (event) {
        case SessionEvent::open:
            return {Session::opening, SessionStep::open_image};
        case SessionEvent::unanswered:  // nothing is lost with it
        case SessionEvent::end:
            return {Session::ending, SessionStep::terminate};
        case SessionEvent::ended:
            return died(facts);
        default:
            return {Session::idle, SessionStep::none};
    }
}

SessionTurn while_opening(SessionEvent event, const SessionFacts& facts) noexcept {
    switch (event) {
        case SessionEvent::opened:
            return {Session::open, SessionStep::serve};
        case SessionEvent::not_opened:
            if (!facts.is_disks) return {Session::idle, SessionStep::drop_image};
            return {Session::ending, SessionStep::terminate};
        case SessionEvent::refused:
            return {Session::holding, SessionStep::terminate};
        case SessionEvent::end:
            return {Session::ending, SessionStep::terminate};
        case SessionEvent::not_now:
            return {Session::asking, SessionStep::ask_later};
        case SessionEvent::ended:
            return died(facts);
        case SessionEvent::unanswered:  // the tapdisk cannot be asked again whether it has the image
            return {Session::opening, SessionStep::terminate};
        default:
            return {Session::opening, SessionStep::none};
    }
}

/// The turns of the states in which there is a tapdisk that has its image, or may have it.
SessionTurn while_alive(Session state, SessionEvent event, const SessionFacts& facts) noexcept {
    switch (event) {
        case SessionEvent::unanswered:
            return {Session::lost, SessionStep::ask_later};
        case SessionEvent::ended:
            return died(facts);
        case SessionEvent::end:
            return {Session::ending, SessionStep::terminate};
        default:
            return {state, SessionStep::none};
    }
}

SessionTurn while_asking(SessionEvent event, const SessionFacts& facts) noexcept {
    switch (event) {
        case SessionEvent::says_open:
            return {Session::open, SessionStep::serve};
        case SessionEvent::says_paused:
            if (facts.recovers) return {Session::recovering, SessionStep::recover};
            return {Session::paused, SessionStep::serve};
        case SessionEvent::says_closed:
            if (facts.recovers) return {Session::recovering, SessionStep::recover};
            if (facts.reopens) return {Session::opening, SessionStep::open_image};
            return {Session::ending, SessionStep::terminate};
        case SessionEvent::says_too_open:
            return {Session::opening, SessionStep::reopen_image};
        case SessionEvent::retry:
            return {Session::asking, SessionStep::ask};
        default:
            return while_alive(Session::asking, event, facts);
    }
}

SessionTurn while_serving(Session state, SessionEvent event, const SessionFacts& facts) noexcept {
    switch (event) {
        case SessionEvent::pause:
            return {Session::paused, SessionStep::none};
        case SessionEvent::resume:
            return {Session::open, SessionStep::none};
        case SessionEvent::upgrade:
            return {Session::upgrading, SessionStep::terminate};
        default:
            return while_alive(state, event, facts);
    }
}

SessionTurn while_lost(SessionEvent event, const SessionFacts& facts) noexcept {
    switch (event) {
        case SessionEvent::retry:
            if (facts.has_process) return {Session::asking, SessionStep::ask};
            return {Session::lost, SessionStep::look_for_it};
        case SessionEvent::found:
            return {Session::asking, SessionStep::ask};
        case SessionEvent::missing:
        case SessionEvent::ended:
            return died(facts);
        case SessionEvent::unanswered:
            return {Session::lost, SessionStep::ask_later};
        case SessionEvent::end:  // a tapdisk that was not found cannot be ended
            if (facts.has_process) return {Session::ending, SessionStep::terminate};
            return {Session::lost, SessionStep::none};
        default:
            return {Session::lost, SessionStep::none};
    }
}

SessionTurn while_reviving(SessionEvent event, const SessionFacts& facts) noexcept {
    switch (event) {
        case SessionEvent::started:
            if (facts.knows_device) return {Session::recovering, SessionStep::recover};
            return {Session::opening, SessionStep::open_image};
        case SessionEvent::end:
            return {Session::none, SessionStep::forget_image};
        case SessionEvent::not_opened:
            return {Session::reviving, SessionStep::ask_later};
        case SessionEvent::retry:
            return {Session::reviving, SessionStep::revive};
        default:
            return {Session::reviving, SessionStep::none};
    }
}

SessionTurn while_recovering(SessionEvent event, const SessionFacts& facts) noexcept {
    switch (event) {
        case SessionEvent::opened:
            return {Session::open, SessionStep::serve};
        case SessionEvent::pause:
            return {Session::paused, SessionStep::serve};
        case SessionEvent::resume:  // by an operator: the tapdisk says with which image
            return {Session::recovering, SessionStep::recover};
        case SessionEvent::not_now:
            return {Session::recovering, SessionStep::ask_later};
        case SessionEvent::retry:
            return {Session::recovering, SessionStep::recover};
        case SessionEvent::refused:
            return {Session::holding, SessionStep::terminate};
        default:
            return while_alive(Session::recovering, event, facts);
    }
}

SessionTurn while_upgrading(SessionEvent event) noexcept {
    if (event == SessionEvent::ended) return {Session::reviving, SessionStep::revive};
    if (event == SessionEvent::end) return {Session::ending, SessionStep::none};
    return {Session::upgrading, SessionStep::none};
}

SessionTurn while_holding(SessionEvent event) noexcept {
    if (event == SessionEvent::ended) return {Session::none, SessionStep::hold};
    if (event == SessionEvent::end) return {Session::ending, SessionStep::none};
    return {Session::holding, SessionStep::none};
}

}  // namespace

SessionTurn next_turn(Session state, SessionEvent event, const SessionFacts& facts) noexcept {
    switch (state) {
        case Session::none:
            return while_none(event, facts);
        case Session::idle:
            return while_idle(event, facts);
        case Session::opening:
            return while_opening(event, facts);
        case Session::asking:
            return while_asking(event, facts);
        case Session::open:
        case Session::paused:
            return while_serving(state, event, facts);
        case Session::lost:
            return while_lost(event, facts);
        case Session::reviving:
            return while_reviving(event, facts);
        case Session::recovering:
            return while_recovering(event, facts);
        case Session::upgrading:
            return while_upgrading(event);
        case Session::holding:
            return while_holding(event);
        case Session::ending:
            if (event == SessionEvent::ended) return {Session::none, SessionStep::forget_image};
            return {Session::ending, SessionStep::none};
    }
    return {state, SessionStep::none};
}

}  // namespace blktap::tapback
