// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// VacatedPlaces: where disks have ended. Requests for a new disk of the same name have waited for that, and so may a
// directory that a toolstack has made in the place of the old one.
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
        /// Lets the requests go on that wait for the disk of this name to have ended. Must not throw.
        std::function<void(const std::string& name)> release;
        /// Looks for a directory in the place of this disk. Throws std::system_error: it cannot be looked for now.
        std::function<void(const ipc::VbdAddress& place)> look;
        /// Whether xenstored is gone. When it is back, all directories are looked through.
        std::function<bool()> is_store_lost;
    };
    explicit VacatedPlaces(Hooks hooks) : hooks_(std::move(hooks)) {}

    /// The disk of `place` has ended.
    void add(const ipc::VbdAddress& place) { places_.emplace(place.name(), place); }
    /// Lets all requests go on that have waited, whatever becomes of xenstored; then looks at the places, and keeps
    /// those that cannot be looked at now.
    void look();

  private:
    const Hooks hooks_;
    std::map<std::string, ipc::VbdAddress> places_;
};

}  // namespace blktap::tapback
