// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The backend's half of xenbus as a pure function: from a VBD's situation and its nodes to the next step. It is called
// again after each change, until it returns `none`. It looks at states, not at events, because watches coalesce: a
// state that a frontend had in between may never be seen. docs/decisions/0011 has the reasons.
//
// Tested by tests/unit/tapback/xenbus/xenbus_machine_test.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace blktap::tapback {

/// Values of a "state" node. Source: Xen's public/io/xenbus.h.
enum class Xenbus : std::uint8_t {
    unknown = 0,  ///< there is no such node
    initialising = 1,
    init_wait = 2,
    initialised = 3,
    connected = 4,
    closing = 5,
    closed = 6,
};

/// Returns a frontend's state from its node: unknown without a node, and closing for any other text (nonsense,
/// reconfiguring), so that such a frontend goes away. The text is trusted no further.
Xenbus parse_frontend_state(const std::optional<std::string>& text) noexcept;

/// Whether the frontend has not published its rings yet.
bool is_starting(Xenbus frontend) noexcept;
/// Whether the frontend has published its rings: Initialised, or Connected at once, as some firmware does.
bool is_ready(Xenbus frontend) noexcept;
/// Whether the frontend has given up its rings, or its node is gone.
bool is_gone(Xenbus frontend) noexcept;

/// The situation of a VBD.
struct Situation {
    /// The VBD's directory is there with our claim, and the VBD was not asked to end.
    bool owned = true;
    bool online = true;  ///< "online": the toolstack wants the disk to stay
    Xenbus backend = Xenbus::initialising;
    Xenbus frontend = Xenbus::initialising;
    enum class Tapdisk : std::uint8_t { none, starting, open, ending };
    Tapdisk tapdisk = Tapdisk::none;
    /// The state of the rings: `busy` while a request about them waits for its answer.
    enum class Link : std::uint8_t { none, busy, up };
    Link link = Link::none;
    bool paused = false;   ///< the tapdisk takes no rings for now; the frontend waits
    bool offered = false;  ///< we wrote the offers of this backend directory
    /// The tapdisk died, and left requests of the frontend unanswered.
    bool abandoned = false;
    bool forced = false;  ///< the frontend had its time to close, and is not asked any more
    /// This domain's own kernel still has the frontend's device, whose nodes are gone. The kernel waits for the answers
    /// to its requests, and handles no other event of xenstore until it has them.
    bool kernel_waits = false;
    /// The frontend has made new rings in place of those that the tapdisk has; its states in between were not seen.
    bool renewed = false;
    bool published = true;    ///< the disk's features were written after the present rings were connected
    bool refused = false;     ///< this frontend could not be connected; reset when it starts again
    bool unrecorded = false;  ///< its rings could not be recorded, and are not connected until they can
};

enum class Step : std::uint8_t {
    none,
    offer,        ///< write the offers; enter InitWait where that is right
    connect,      ///< give the frontend's rings to the tapdisk
    publish,      ///< write the features and enter Connected, also where that was the state before
    disconnect,   ///< take the rings from the tapdisk
    abandon,      ///< answer the requests that a dead tapdisk left, with errors
    closing,      ///< enter Closing
    close,        ///< enter Closed
    end_tapdisk,  ///< close the image
    forget,       ///< nothing is left to do for this VBD
};

Step next_step(const Situation& now) noexcept;

}  // namespace blktap::tapback
