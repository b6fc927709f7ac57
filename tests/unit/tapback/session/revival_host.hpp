// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RevivalHost: a session whose tapdisk dies, or is upgraded, and has a successor. The tapdisks answer when the test
// says so.
#pragma once

#include "tests/unit/tapback/session/session_host.hpp"

namespace blktap::tapback {

/// An image that is served, for a guest whose rings are connected.
struct RevivalHost : SessionHost {
    RevivalHost() {
        may_revive = has_rings = true;
        start();
        told.clear();
    }
    /// The tapdisk dies, and another one is started.
    void die() {
        tapdisk().end("killed by signal 9");
        session->tidy();
    }
    /// The answer to "stats" of a tapdisk that has come so far.
    void say(const std::string& state_name, bool is_connected = false) {
        REQUIRE(tapdisk().asked() == "stats ");
        tapdisk().answer(stats(state_name, image, is_connected));
    }
    /// A fresh tapdisk is about to adopt the rings.
    void become_paused() {
        say("closed");
        tapdisk().answer();
        say("paused");
        REQUIRE(tapdisk().asked() == "adopt ");
    }
    /// It has adopted them, and says so.
    void become_adopted() {
        become_paused();
        tapdisk().answer(device);
        say("paused", true);
    }
    /// Another tapdisk is about to adopt the rings of one that died.
    void recover() {
        die();
        become_paused();
    }
    /// It is about to open the image.
    void adopt() {
        die();
        become_adopted();
        REQUIRE(tapdisk().asked() == "resume ");
    }
};

}  // namespace blktap::tapback
