// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The life of one image in one tapdisk as a pure function: from where it stands and what has happened to where it
// stands then and the one thing to do. What happens comes from a process that may say anything, or nothing, at any
// time; so there is an answer to everything in every state, and what comes too late changes nothing.
//
// Tested by tests/unit/tapback/session_machine_test.cpp.
#pragma once

#include <cstdint>

namespace blktap::tapback {

enum class Session : std::uint8_t {
    none,      ///< no tapdisk; its image may be there still, and is held until the disk goes
    opening,   ///< it opens the image
    asking,    ///< it runs, and is asked what it does
    open,      ///< it serves, or may
    paused,    ///< it has let go of the image and takes no rings
    lost,      ///< it runs, or may, and cannot be asked: it is asked again later, and until then nothing is decided
    reviving,  ///< it has ended, and another one is to be started in its place
    ending,    ///< it was told to end
};

enum class SessionEvent : std::uint8_t {
    started,     ///< a tapdisk was started
    found,       ///< a tapdisk that runs was found, or taken over
    missing,     ///< the tapdisk that was looked for has ended
    unanswered,  ///< it cannot be looked for, or the connection to it is lost, or it gave no answer
    retry,       ///< time to ask again
    says_open,   ///< its answer
    says_paused,
    says_closed,
    says_too_open,  ///< its image is open for writing, and the disk only reads
    opened,         ///< the answer to "open"
    not_opened,
    not_now,  ///< it is about to do the same for somebody else
    pause,
    resume,
    end,    ///< the disk does not want it any more
    ended,  ///< its process is gone
};

/// What counts besides.
struct SessionFacts {
    bool may_revive = false;  ///< nothing of a guest's is lost when another tapdisk begins with the image anew
    bool reopens = false;     ///< whoever had the image opened has had no answer, and asks no second time
    bool has_process = true;  ///< the process is known
};

enum class SessionStep : std::uint8_t {
    none,
    ask,           ///< ask it what it does
    ask_later,     ///< ask, or look for it, when `retry` comes
    look_for_it,   ///< `found`, `missing` or `unanswered` follows
    open_image,    ///< ask it to open the image
    reopen_image,  ///< the same, after it closed it
    serve,         ///< it has its image: whoever waits for that is told
    terminate,     ///< end the process
    revive,        ///< start another one when this one's object is gone; `started` follows
    hold,          ///< its end was not asked for: the image stays, and the operator is told
    forget_image,  ///< its end was asked for
};

struct SessionTurn {
    Session state;
    SessionStep step;

    friend bool operator==(const SessionTurn&, const SessionTurn&) = default;
};

SessionTurn next_turn(Session state, SessionEvent event, const SessionFacts& facts) noexcept;

}  // namespace blktap::tapback
