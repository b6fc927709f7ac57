// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// takeover enable, disable, status: does not talk to tapback, which need not run.
#include <ostream>

#include "control/tap_ctl/command_line.hpp"
#include "control/tap_ctl/takeover.hpp"

namespace blktap {
namespace {

constexpr int needs_attention = 1;

/// Says how it stands; exit status 1 when something has to be done about it.
int report(const CommandLine& line, std::ostream& out, const Takeover& takeover, const char* prefix) {
    const TakeoverState state = takeover.state();
    const bool waits = state != TakeoverState::disabled && takeover.newer_script_waits();
    if (line.json) {
        out << ipc::Json({{"state", name_of(state)}, {"message", advice(state)}, {"newer-script-waits", waits}}).dump(2)
            << '\n';
    } else {
        out << prefix << name_of(state) << ": " << advice(state) << '\n';
        if (waits) {
            out << "Xen's package has left a newer script in " << takeover.block() << ".dpkg-dist: disable, put it in "
                << "the place of " << takeover.block() << ", and enable again\n";
        }
    }
    return is_sound(state) && !waits ? 0 : needs_attention;
}

int enable(const CommandLine& line, std::ostream& out) {
    const Takeover takeover(TakeoverFiles::under(line.root));
    const bool done = takeover.enable();
    return report(line, out, takeover, done ? "" : "already ");
}

int disable(const CommandLine& line, std::ostream& out) {
    const Takeover takeover(TakeoverFiles::under(line.root));
    const bool done = takeover.disable();
    return report(line, out, takeover, done ? "" : "already ");
}

int status(const CommandLine& line, std::ostream& out) {
    return report(line, out, Takeover(TakeoverFiles::under(line.root)), "");
}

}  // namespace

void add_takeover_commands(CLI::App& app, CommandLine& line) {
    CLI::App& takeover = *app.add_subcommand("takeover", "Let plain disk lines ('/path,raw,xvda,w') run on tapdisk");
    takeover.require_subcommand(1);
    takeover.add_option("--root", line.root, "The host's files are below this directory")->capture_default_str();
    takeover.fallthrough();
    add_command(takeover, line, "enable", "Put a wrapper in the place of Xen's hotplug script 'block'", enable);
    add_command(takeover, line, "disable", "Put Xen's script back", disable);
    add_command(takeover, line, "status", "Whether it is enabled, and whether something changed since", status);
}

}  // namespace blktap
