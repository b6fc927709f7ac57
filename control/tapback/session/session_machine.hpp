// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The life of one image in one tapdisk as a pure function: from a state and an event to the next state and one step.
// Events come from a process that may send anything, or nothing, at any time. So every event has an answer in every
// state, and one that comes too late changes nothing.
//
// Tested by tests/unit/tapback/session/session_machine_test.cpp.
#pragma once

#include <cstdint>
#include <optional>

namespace blktap::tapback {

enum class Session : std::uint8_t {
    none,        ///< there is no tapdisk; its image may be held until the disk goes
    idle,        ///< the tapdisk runs, and was not asked for an image
    opening,     ///< the tapdisk opens the image
    asking,      ///< the tapdisk runs, and was asked for its state
    open,        ///< the tapdisk has the image open, or may have
    paused,      ///< the tapdisk has closed the image and takes no rings
    lost,        ///< the tapdisk may run and cannot be asked: it is asked again later; nothing is decided until then
    reviving,    ///< the tapdisk has ended, and another one is to be started in its place
    recovering,  ///< another one was started, and is to go on with the image and the rings
    upgrading,   ///< the tapdisk was told to end, so that the installed program goes on
    holding,     ///< that one cannot go on, and was told to end; the image is held then
    ending,      ///< the tapdisk was told to end
};

/// Whether another tapdisk is to go on where one has died.
constexpr bool is_reviving(Session session) noexcept {
    return session == Session::reviving || session == Session::recovering;
}

enum class SessionEvent : std::uint8_t {
    started,     ///< a tapdisk was started
    open,        ///< an idle tapdisk is to open an image
    found,       ///< a running tapdisk was found, or came from Xen's block-tap script
    missing,     ///< the tapdisk that was looked for has ended
    unanswered,  ///< the tapdisk cannot be looked for, its connection is lost, or it did not answer
    retry,       ///< it is time to ask again
    says_open,   ///< the answer to `ask`, as the next three
    says_paused,
    says_closed,
    says_too_open,  ///< the image is open for writing, and the disk is read-only
    opened,         ///< the answer to "open"
    not_opened,
    refused,  ///< the same where nobody waits, or the tapdisk cannot go on where another one died
    not_now,  ///< the tapdisk is opening the image for another client, or what it needs is not released yet
    pause,
    resume,
    revive,   ///< an operator wants another tapdisk to go on where one has died
    upgrade,  ///< an operator wants the installed program to go on
    end,      ///< the disk needs the tapdisk no more
    ended,    ///< the tapdisk's process has ended
};

/// What else decides a turn.
struct SessionFacts {
    bool is_disks = true;       ///< false: the tapdisk is Xen's block-tap script's, and no disk has it yet
    bool has_image = true;      ///< an image is named that is to be opened
    bool may_revive = false;    ///< a guest loses nothing if a new tapdisk opens the image
    bool knows_device = false;  ///< the device as guests know it: another tapdisk may go on with their rings
    bool recovers = false;      ///< the tapdisk was started to go on where another one died, and does not yet
    bool reopens = false;       ///< the client that had the image opened got no answer, and will not ask again
    bool has_process = true;    ///< the process is known
};

enum class SessionStep : std::uint8_t {
    none,
    ask,           ///< ask the tapdisk for its state
    ask_later,     ///< ask the tapdisk, or look for it, when `retry` comes
    look_for_it,   ///< look for the tapdisk; `found`, `missing` or `unanswered` follows
    recover,       ///< have the tapdisk do what is left for it to go on
    open_image,    ///< ask the tapdisk to open the image
    reopen_image,  ///< ask the tapdisk to close the image and open it again
    serve,         ///< the image is open: answer the clients that wait for it
    terminate,     ///< end the process
    revive,        ///< start another tapdisk when this one's object is gone; `started` follows
    hold,          ///< the tapdisk ended unasked: keep the image, and tell the operator
    forget_image,  ///< the tapdisk ended as asked: forget the image
    drop_image,    ///< the tapdisk did not open the image, and may be asked for another one
};

struct SessionTurn {
    Session state;
    SessionStep step;

    friend bool operator==(const SessionTurn&, const SessionTurn&) = default;
};

/// Whether the image is to stay paused when another tapdisk goes on, in the state `state` after `event`; nullopt: as
/// before. What a tapdisk still answers before it ends holds for the next one.
constexpr std::optional<bool> paused_after(Session state, SessionEvent event) noexcept {
    const bool is_last_word = state == Session::upgrading;
    if (state == Session::paused || (is_last_word && event == SessionEvent::pause)) return true;
    if (state == Session::open || (is_last_word && event == SessionEvent::resume)) return false;
    return std::nullopt;
}

SessionTurn next_turn(Session state, SessionEvent event, const SessionFacts& facts) noexcept;

}  // namespace blktap::tapback
