// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The actions of a soak: what is done to a disk, with how often one is chosen.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "tests/replay/load/random.hpp"

namespace blktap::soak {

enum class Action : std::uint8_t {
    pause,               ///< and resume
    rename,              ///< pause, rename the image, resume it under its new name
    replace_by_copy,     ///< pause, replace the image by its copy, resume the copy
    snapshot,            ///< tap-ctl image snapshot
    resize,              ///< to a larger size
    look,                ///< tap-ctl list, info and stats
    reconnect,           ///< the guest leaves, and another one comes
    freeze_tapdisk,      ///< it answers nobody, for a while
    fail_flushes,        ///< its storage cannot flush for a while; then the operator accepts the loss
    upgrade,             ///< the installed tapdisk goes on
    kill_tapdisk,        ///< of a guest that is served
    kill_local_tapdisk,  ///< of local rings, whose program comes back to the next one
    kill_idle_tapdisk,   ///< of a disk without a guest
    detach_in_use,       ///< the guest is asked, and leaves when all it asked for is answered
    destroy_domain,      ///< its guest crashes, and the domain is destroyed
    kill_any_tapdisk,    ///< whatever its disk is doing
    kill_storm,          ///< the same, one after the other, for a while; only if it is named
    kill_tapback,        ///< not of one disk
};

struct ActionRow {
    Action action;
    const char* name;
    unsigned weight;  ///< among those of a disk in use; 0: chosen elsewhere
};

inline constexpr std::array action_rows{
    ActionRow{Action::pause, "pause", 6},
    ActionRow{Action::rename, "rename", 3},
    ActionRow{Action::replace_by_copy, "replace-by-copy", 2},
    ActionRow{Action::snapshot, "snapshot", 2},
    ActionRow{Action::resize, "resize", 3},
    ActionRow{Action::look, "look", 2},
    ActionRow{Action::reconnect, "reconnect", 3},
    ActionRow{Action::freeze_tapdisk, "freeze-tapdisk", 1},
    ActionRow{Action::fail_flushes, "fail-flushes", 2},
    ActionRow{Action::upgrade, "upgrade", 4},
    ActionRow{Action::kill_tapdisk, "kill-tapdisk", 6},
    ActionRow{Action::kill_local_tapdisk, "kill-local-tapdisk", 6},
    ActionRow{Action::kill_idle_tapdisk, "kill-idle-tapdisk", 0},
    ActionRow{Action::detach_in_use, "detach-in-use", 0},
    ActionRow{Action::destroy_domain, "destroy-domain", 0},
    ActionRow{Action::kill_any_tapdisk, "kill-any-tapdisk", 0},
    ActionRow{Action::kill_storm, "kill-storm", 0},
    ActionRow{Action::kill_tapback, "kill-tapback", 0},
};

/// The actions that a soak may take.
class Actions {
  public:
    /// "pause,look"; empty: all but the storm. Errors: throws std::runtime_error for an unknown name.
    explicit Actions(const std::string& names);
    bool has(Action action) const noexcept { return enabled_[static_cast<std::size_t>(action)]; }
    /// nullopt: none is enabled that is for a disk in use.
    std::optional<ActionRow> choose(replay::Random& random) const noexcept;

  private:
    std::array<bool, action_rows.size()> enabled_{};
};

}  // namespace blktap::soak
