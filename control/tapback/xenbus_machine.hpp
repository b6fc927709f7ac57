// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The backend's half of xenbus as a pure function: from where a VBD stands and what its nodes say, to the one thing to
// do next. It is asked again after each change, until it says `none`. It looks at states, not at events, because
// watches coalesce: what a frontend was in between is nobody's business. docs/decisions/0011 has the reasons.
//
// Tested by tests/unit/tapback/xenbus_machine_test.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace blktap::tapback {

/// Values of a "state" node. Source: Xen's public/io/xenbus.h.
enum class Xenbus : std::uint8_t {
    unknown = 0,  ///< no such node
    initialising = 1,
    init_wait = 2,
    initialised = 3,
    connected = 4,
    closing = 5,
    closed = 6,
};

/// A frontend's state, absent when there is no node. What is no state (nonsense, reconfiguring) is a frontend that must
/// go: closing. Never trusted further than that.
Xenbus parse_frontend_state(const std::optional<std::string>& text) noexcept;

/// It has not published its rings yet.
bool is_starting(Xenbus frontend) noexcept;
/// It says that its rings are there: Initialised, or Connected at once, as some firmware does.
bool is_ready(Xenbus frontend) noexcept;
/// It says that it has let go of its rings, or says nothing any more.
bool is_gone(Xenbus frontend) noexcept;

/// Where a VBD stands.
struct Situation {
    /// Its directory is there, bears our claim, and nobody asked to give it up.
    bool owned = true;
    bool online = true;  ///< "online": the toolstack wants the disk to stay
    Xenbus backend = Xenbus::initialising;
    Xenbus frontend = Xenbus::initialising;
    enum class Tapdisk : std::uint8_t { none, starting, open, ending };
    Tapdisk tapdisk = Tapdisk::none;
    /// The rings: `busy` while a request about them is on its way.
    enum class Link : std::uint8_t { none, busy, up };
    Link link = Link::none;
    bool paused = false;   ///< the tapdisk takes no rings for now; the frontend waits
    bool offered = false;  ///< the offers of this backend directory are ours
    /// Its tapdisk died, and has left requests of the frontend's unanswered.
    bool abandoned = false;
    bool forced = false;  ///< the frontend had its time to close, and is not asked any more
    /// This domain's own kernel has the frontend's device still, whose nodes are gone: it waits for the answers to what
    /// it sends, and handles nothing else of xenstore's until it has them.
    bool kernel_waits = false;
    /// The frontend has made new rings in the place of those that the tapdisk has: what it said in between was not
    /// seen.
    bool renewed = false;
    bool published = true;  ///< what the disk is was written after the rings that are up came
    bool refused = false;   ///< this frontend could not be connected; reset when it starts again
};

enum class Step : std::uint8_t {
    none,
    offer,        ///< write the offers; enter InitWait where that is right
    connect,      ///< give the frontend's rings to the tapdisk
    publish,      ///< write the features and enter Connected, also where that was the state before
    disconnect,   ///< take the rings from the tapdisk
    abandon,      ///< answer with errors what a tapdisk that died has left
    closing,      ///< enter Closing
    close,        ///< enter Closed
    end_tapdisk,  ///< close the image
    forget,       ///< nothing is left to do for this VBD
};

Step next_step(const Situation& now) noexcept;

}  // namespace blktap::tapback
