// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// VacatedPlaces: the places of disks that have ended. Requests for a new disk of the same name waited for the end, and
// so may a directory that a toolstack made in the old one's place.
//
// Tested by tests/unit/tapback/vacated_places_test.cpp.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tapback {

class VacatedPlaces {
  public:
    struct Hooks {
        /// Lets the requests go on that waited for the end of the disk of this name. Must not throw.
        std::function<void(const std::string& name)> release;
        /// Looks for a directory in this place. Throws std::system_error: it cannot look now.
        std::function<void(const ipc::VbdAddress& place)> look;
        /// Whether xenstored is gone. When it is back, all directories are looked through.
        std::function<bool()> is_store_lost;
    };
    explicit VacatedPlaces(Hooks hooks) : hooks_(std::move(hooks)) {}

    /// The disk of `place` has ended.
    void add(const ipc::VbdAddress& place) { places_.emplace(place.name(), place); }
    /// Lets all waiting requests go on, also without xenstored; then looks at the places, and keeps those at which it
    /// cannot look now.
    void look();

  private:
    const Hooks hooks_;
    std::map<std::string, ipc::VbdAddress> places_;
};

}  // namespace blktap::tapback
