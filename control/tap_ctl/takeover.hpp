// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The wrapper that stands in the place of Xen's hotplug script "block", so that plain disk lines run on tapdisk. The
// script is a conffile of Debian's package, so it cannot be diverted: it is renamed to "block.xen", and a checksum of
// it is kept, by which a change of it is noticed. At every moment there is a working "block": both directions end in
// one rename(), and whatever was interrupted is finished by asking again.
//
// Tested by tests/unit/control/takeover_test.cpp.
#pragma once

#include <optional>
#include <string>

namespace blktap::tap_ctl {

struct TakeoverFiles {
    std::string scripts;  ///< the directory of Xen's hotplug scripts
    std::string wrapper;  ///< ours, as installed
    std::string record;   ///< the checksum of Xen's script, a line as of sha256sum(1)

    /// Where they are on a host whose root is `root`.
    static TakeoverFiles under(const std::string& root);
};

enum class TakeoverState {
    disabled,     ///< "block" is Xen's
    enabled,      ///< "block" is our wrapper, "block.xen" the script that was recorded
    outdated,     ///< the same with a wrapper of another version of ours
    replaced,     ///< "block" is Xen's again, but "block.xen" is still there: an upgrade of Xen's package put it back
    interrupted,  ///< "block" and "block.xen" are the same script: enable() did not come to its end
    changed,      ///< "block" is our wrapper, but "block.xen" is not the script that was recorded
    lost,         ///< "block" is our wrapper, and there is no "block.xen"
    no_script,    ///< there is no "block"
};

class Takeover {
  public:
    explicit Takeover(TakeoverFiles files) : files_(std::move(files)) {}

    /// Errors, of all three: throws std::system_error naming the file.
    TakeoverState state() const;
    /// Puts the wrapper in place, again after an upgrade. False: it was there already.
    /// Errors: also a sentence where that would lose a script.
    bool enable() const;
    /// Puts Xen's script back, byte for byte the one that is there. False: it was there already. Errors: as enable().
    bool disable() const;

    /// Whether Debian's package manager has left a newer script beside ours ("block.dpkg-dist").
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
/// What it means and what to do about it, in a sentence.
std::string advice(TakeoverState state);
/// Nothing has to be done about it.
bool is_sound(TakeoverState state);

}  // namespace blktap::tap_ctl
