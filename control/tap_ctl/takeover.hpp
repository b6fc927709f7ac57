// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The wrapper in the place of Xen's hotplug script "block", so that plain disk lines run on tapdisk. The script is a
// conffile of Debian's package and cannot be diverted: so it is renamed to "block.xen", and its checksum is kept, which
// shows later changes. There is a working "block" at every moment: both directions end in one rename(), and an
// interrupted one is finished by the next call.
//
// Tested by tests/unit/control/takeover_test.cpp.
#pragma once

#include <optional>
#include <string>

namespace blktap::tap_ctl {

struct TakeoverFiles {
    std::string scripts;  ///< the directory of Xen's hotplug scripts
    std::string wrapper;  ///< the installed wrapper
    std::string record;   ///< the checksum of Xen's script, a line of sha256sum(1)

    /// The files of a host whose root directory is `root`.
    static TakeoverFiles under(const std::string& root);
};

enum class TakeoverState {
    disabled,     ///< "block" is Xen's
    enabled,      ///< "block" is our wrapper, "block.xen" the script that was recorded
    outdated,     ///< as `enabled`, with the wrapper of another version
    replaced,     ///< "block" is Xen's, but "block.xen" is there: an upgrade of Xen's package has put "block" back
    interrupted,  ///< "block" and "block.xen" are the same script: enable() was interrupted
    changed,      ///< "block" is our wrapper, but "block.xen" is not the script that was recorded
    lost,         ///< "block" is our wrapper, and there is no "block.xen"
    no_script,    ///< there is no "block"
};

class Takeover {
  public:
    explicit Takeover(TakeoverFiles files) : files_(std::move(files)) {}

    // Errors of all three: throw std::system_error naming the file.
    TakeoverState state() const;
    /// Puts the wrapper in place, again after an upgrade. False: it was there already. Errors: also EPERM and EEXIST,
    /// with a sentence, where that would lose a script.
    bool enable() const;
    /// Puts "block.xen" back as "block", byte for byte. False: that was done already. Errors: as enable().
    bool disable() const;

    /// Whether Debian's package manager has left a newer script beside the wrapper ("block.dpkg-dist").
    bool newer_script_waits() const;
    std::string block() const { return files_.scripts + "/block"; }
    std::string block_xen() const { return files_.scripts + "/block.xen"; }

  private:
    std::optional<std::string> recorded() const;
    void take(const std::string& script) const;
    void install_wrapper() const;

    TakeoverFiles files_;
};

/// "enabled", "disabled", ...
const char* name_of(TakeoverState state);
/// A sentence for people: what the state means, and what to do about it.
std::string advice(TakeoverState state);
/// Whether nothing has to be done about the state.
bool is_sound(TakeoverState state);

}  // namespace blktap::tap_ctl
