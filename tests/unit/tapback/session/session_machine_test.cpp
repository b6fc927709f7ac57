// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/session/session_machine.hpp"

#include <initializer_list>
#include <map>
#include <tuple>

#include "tests/support/catch.hpp"

using namespace blktap::tapback;

namespace {

constexpr auto sessions = {Session::none,       Session::idle,    Session::opening,   Session::asking,
                           Session::open,       Session::paused,  Session::lost,      Session::reviving,
                           Session::recovering, Session::holding, Session::upgrading, Session::ending};
constexpr auto session_events = {
    SessionEvent::started,     SessionEvent::open,          SessionEvent::found,     SessionEvent::missing,
    SessionEvent::unanswered,  SessionEvent::retry,         SessionEvent::says_open, SessionEvent::says_paused,
    SessionEvent::says_closed, SessionEvent::says_too_open, SessionEvent::opened,    SessionEvent::not_opened,
    SessionEvent::refused,     SessionEvent::not_now,       SessionEvent::pause,     SessionEvent::resume,
    SessionEvent::revive,      SessionEvent::upgrade,       SessionEvent::end,       SessionEvent::ended};

/// Calls `check` with every combination of facts about a tapdisk that is a disk's, or no disk's.
template <class Check>
void for_all_facts(bool is_disks, Check check) {
    for (unsigned bits = 0; bits < 64; ++bits)
        check(SessionFacts{.is_disks = is_disks,
                           .has_image = (bits & 8) != 0,
                           .may_revive = (bits & 1) != 0,
                           .knows_device = (bits & 16) != 0,
                           .recovers = (bits & 32) != 0,
                           .reopens = (bits & 2) != 0,
                           .has_process = (bits & 4) != 0});
}
template <class Check>
void for_all_facts(Check check) {
    for_all_facts(true, check);
}

/// Whatever else counts; all that is in no row here changes nothing.
const std::map<std::pair<Session, SessionEvent>, SessionTurn> always{
    {{Session::none, SessionEvent::found}, {Session::asking, SessionStep::ask}},
    {{Session::none, SessionEvent::unanswered}, {Session::lost, SessionStep::ask_later}},
    {{Session::idle, SessionEvent::open}, {Session::opening, SessionStep::open_image}},
    {{Session::idle, SessionEvent::unanswered}, {Session::ending, SessionStep::terminate}},
    {{Session::idle, SessionEvent::end}, {Session::ending, SessionStep::terminate}},
    {{Session::opening, SessionEvent::opened}, {Session::open, SessionStep::serve}},
    {{Session::opening, SessionEvent::not_opened}, {Session::ending, SessionStep::terminate}},
    {{Session::opening, SessionEvent::not_now}, {Session::asking, SessionStep::ask_later}},
    {{Session::opening, SessionEvent::end}, {Session::ending, SessionStep::terminate}},
    {{Session::opening, SessionEvent::unanswered}, {Session::opening, SessionStep::terminate}},
    {{Session::asking, SessionEvent::says_open}, {Session::open, SessionStep::serve}},
    {{Session::asking, SessionEvent::says_too_open}, {Session::opening, SessionStep::reopen_image}},
    {{Session::asking, SessionEvent::retry}, {Session::asking, SessionStep::ask}},
    {{Session::asking, SessionEvent::unanswered}, {Session::lost, SessionStep::ask_later}},
    {{Session::asking, SessionEvent::end}, {Session::ending, SessionStep::terminate}},
    {{Session::open, SessionEvent::pause}, {Session::paused, SessionStep::none}},
    {{Session::open, SessionEvent::unanswered}, {Session::lost, SessionStep::ask_later}},
    {{Session::open, SessionEvent::end}, {Session::ending, SessionStep::terminate}},
    {{Session::paused, SessionEvent::resume}, {Session::open, SessionStep::none}},
    {{Session::paused, SessionEvent::unanswered}, {Session::lost, SessionStep::ask_later}},
    {{Session::paused, SessionEvent::end}, {Session::ending, SessionStep::terminate}},
    {{Session::lost, SessionEvent::found}, {Session::asking, SessionStep::ask}},
    {{Session::lost, SessionEvent::unanswered}, {Session::lost, SessionStep::ask_later}},
    {{Session::reviving, SessionEvent::not_opened}, {Session::reviving, SessionStep::ask_later}},
    {{Session::reviving, SessionEvent::retry}, {Session::reviving, SessionStep::revive}},
    {{Session::reviving, SessionEvent::end}, {Session::none, SessionStep::forget_image}},
    {{Session::recovering, SessionEvent::opened}, {Session::open, SessionStep::serve}},
    {{Session::recovering, SessionEvent::resume}, {Session::recovering, SessionStep::recover}},
    {{Session::recovering, SessionEvent::pause}, {Session::paused, SessionStep::serve}},
    {{Session::recovering, SessionEvent::not_now}, {Session::recovering, SessionStep::ask_later}},
    {{Session::recovering, SessionEvent::retry}, {Session::recovering, SessionStep::recover}},
    {{Session::opening, SessionEvent::refused}, {Session::holding, SessionStep::terminate}},
    {{Session::recovering, SessionEvent::refused}, {Session::holding, SessionStep::terminate}},
    {{Session::recovering, SessionEvent::unanswered}, {Session::lost, SessionStep::ask_later}},
    {{Session::recovering, SessionEvent::end}, {Session::ending, SessionStep::terminate}},
    {{Session::open, SessionEvent::upgrade}, {Session::upgrading, SessionStep::terminate}},
    {{Session::paused, SessionEvent::upgrade}, {Session::upgrading, SessionStep::terminate}},
    {{Session::upgrading, SessionEvent::ended}, {Session::reviving, SessionStep::revive}},
    {{Session::upgrading, SessionEvent::end}, {Session::ending, SessionStep::none}},
    {{Session::holding, SessionEvent::ended}, {Session::none, SessionStep::hold}},
    {{Session::holding, SessionEvent::end}, {Session::ending, SessionStep::none}},
    {{Session::ending, SessionEvent::ended}, {Session::none, SessionStep::forget_image}},
};

/// What depends on the facts.
bool depends_on_facts(Session state, SessionEvent event) {
    const bool runs = state == Session::idle || state == Session::opening || state == Session::asking ||
                      state == Session::open || state == Session::paused || state == Session::lost ||
                      state == Session::recovering;
    if (event == SessionEvent::started) return state == Session::none || state == Session::reviving;
    if (event == SessionEvent::revive) return state == Session::none;
    if (event == SessionEvent::says_paused) return state == Session::asking;
    if (event == SessionEvent::ended) return runs;
    if (event == SessionEvent::missing) return state == Session::none || state == Session::lost;
    if (event == SessionEvent::says_closed) return state == Session::asking;
    return state == Session::lost && (event == SessionEvent::retry || event == SessionEvent::end);
}

}  // namespace

TEST_CASE("session: every state has its answer to everything that may happen", "[unit][tapback]") {
    for (const Session state : sessions)
        for (const SessionEvent event : session_events) {
            if (depends_on_facts(state, event)) continue;
            INFO("state " << int(state) << " event " << int(event));
            const auto row = always.find({state, event});
            const SessionTurn expected = row == always.end() ? SessionTurn{state, SessionStep::none} : row->second;
            for_all_facts([&](const SessionFacts& facts) { CHECK(next_turn(state, event, facts) == expected); });
        }
}

TEST_CASE("session: a tapdisk that ends unasked is replaced where that loses nothing, or its image is held",
          "[unit][tapback]") {
    for (const Session state : sessions)
        for (const SessionEvent event : {SessionEvent::ended, SessionEvent::missing}) {
            if (!depends_on_facts(state, event)) continue;
            for_all_facts([&](const SessionFacts& facts) {
                const SessionTurn turn = facts.may_revive ? SessionTurn{Session::reviving, SessionStep::revive}
                                                          : SessionTurn{Session::none, SessionStep::hold};
                CHECK(next_turn(state, event, facts) == turn);
            });
        }
}

TEST_CASE("session: a tapdisk found without an image opens it where nobody asks again, or ends", "[unit][tapback]") {
    for_all_facts([](const SessionFacts& facts) {
        const SessionTurn turn = facts.recovers  ? SessionTurn{Session::recovering, SessionStep::recover}
                                 : facts.reopens ? SessionTurn{Session::opening, SessionStep::open_image}
                                                 : SessionTurn{Session::ending, SessionStep::terminate};
        CHECK(next_turn(Session::asking, SessionEvent::says_closed, facts) == turn);
    });
}

TEST_CASE("session: one that was started to go on where another one died does so, also under the next tapback",
          "[unit][tapback]") {
    for_all_facts([](const SessionFacts& facts) {
        const SessionTurn started = facts.knows_device ? SessionTurn{Session::recovering, SessionStep::recover}
                                                       : SessionTurn{Session::opening, SessionStep::open_image};
        CHECK(next_turn(Session::reviving, SessionEvent::started, facts) == started);
        const SessionTurn found = facts.recovers ? SessionTurn{Session::recovering, SessionStep::recover}
                                                 : SessionTurn{Session::paused, SessionStep::serve};
        CHECK(next_turn(Session::asking, SessionEvent::says_paused, facts) == found);
    });
}

TEST_CASE("session: an operator has a held image served again", "[unit][tapback]") {
    for_all_facts([](const SessionFacts& facts) {
        const SessionTurn turn = facts.has_image ? SessionTurn{Session::reviving, SessionStep::revive}
                                                 : SessionTurn{Session::none, SessionStep::none};
        CHECK(next_turn(Session::none, SessionEvent::revive, facts) == turn);
    });
}

TEST_CASE("session: one that is lost is looked for before it is asked, or ended", "[unit][tapback]") {
    for_all_facts([](const SessionFacts& facts) {
        const SessionTurn again = facts.has_process ? SessionTurn{Session::asking, SessionStep::ask}
                                                    : SessionTurn{Session::lost, SessionStep::look_for_it};
        const SessionTurn end = facts.has_process ? SessionTurn{Session::ending, SessionStep::terminate}
                                                  : SessionTurn{Session::lost, SessionStep::none};
        CHECK(next_turn(Session::lost, SessionEvent::retry, facts) == again);
        CHECK(next_turn(Session::lost, SessionEvent::end, facts) == end);
    });
}

TEST_CASE("session: only the end of its process leaves a tapdisk that was told to end", "[unit][tapback]") {
    for (const SessionEvent event : session_events)
        for_all_facts([&](const SessionFacts& facts) {
            const SessionTurn turn = next_turn(Session::ending, event, facts);
            CHECK((turn.state == Session::ending) == (event != SessionEvent::ended));
        });
}

TEST_CASE("session: a tapdisk is started with an image or without one", "[unit][tapback]") {
    for (const bool is_disks : {true, false})
        for_all_facts(is_disks, [](const SessionFacts& facts) {
            const SessionTurn turn = facts.has_image ? SessionTurn{Session::opening, SessionStep::open_image}
                                                     : SessionTurn{Session::idle, SessionStep::none};
            CHECK(next_turn(Session::none, SessionEvent::started, facts) == turn);
        });
}

TEST_CASE("session: one that is no disk's stays when its image does not open, and leaves nothing when it ends",
          "[unit][tapback]") {
    for_all_facts(false, [](const SessionFacts& facts) {
        CHECK(next_turn(Session::opening, SessionEvent::not_opened, facts) ==
              SessionTurn{Session::idle, SessionStep::drop_image});
        for (const Session state : {Session::idle, Session::opening, Session::asking, Session::open, Session::lost})
            CHECK(next_turn(state, SessionEvent::ended, facts) ==
                  SessionTurn{Session::none, SessionStep::forget_image});
    });
}
