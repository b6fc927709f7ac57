// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// takeover enable, disable, status. tapback need not run: it is asked only which disks stay on tapdisk after a disable.
#include <ostream>

#include "control/tap_ctl/command_line.hpp"
#include "control/tap_ctl/takeover.hpp"
#include "control/tap_ctl/vbd_list.hpp"
#include "drivers/formats/formats.hpp"
#include "libblktap/ipc/json_text.hpp"

namespace blktap::tap_ctl {
namespace {

constexpr int needs_attention = 1;

/// The running disks that the wrapper gave to tapdisk; nullopt: tapback does not answer.
std::optional<std::vector<std::string>> taken_disks(const std::string& socket) {
    try {
        TapbackClient tapback(socket);
        std::vector<std::string> names;
        for (const ipc::VbdEntry& vbd : list_vbds(tapback))
            if (vbd.takeover) names.push_back(vbd.backend.name());
        return names;
    } catch (const std::system_error&) {
        return std::nullopt;
    }
}

/// "2 disks (5/51712, 6/51712)".
std::string disks_text(const std::vector<std::string>& names) {
    std::string text = names.size() == 1 ? "1 disk" : std::to_string(names.size()) + " disks";
    for (const std::string& name : names)
        text += (&name == &names.front() ? " (" : ", ") + name;
    return text + ')';
}

/// Prints the disks that stay on tapdisk after a disable.
void report_taken(std::ostream& out, const std::optional<std::vector<std::string>>& names) {
    if (!names) {
        out << "tapback does not say which disks still run on tapdisk; they go on until they are detached\n";
    } else if (!names->empty()) {
        out << disks_text(*names) << " of plain disk lines still on tapdisk; they go on until they are detached. Until "
            << "then give no other guest their images: Xen's script does not see that they are in use\n";
    }
}

/// Prints the state; returns the exit status, 1 if something has to be done about it.
int report(const CommandLine& line, std::ostream& out, const Takeover& takeover, const char* prefix,
           const ipc::Json& more = ipc::Json::object()) {
    const TakeoverState state = takeover.state();
    const bool waits = state != TakeoverState::disabled && takeover.newer_script_waits();
    if (line.json) {
        ipc::Json json{{"state", name_of(state)}, {"message", advice(state)}, {"newer-script-waits", waits}};
        json.update(more);
        out << ipc::to_text(json, 2) << '\n';
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
    const auto names = taken_disks(line.socket);
    const ipc::Json more = names ? ipc::Json{{"on-tapdisk", *names}} : ipc::Json::object();
    const int result = report(line, out, takeover, done ? "" : "already ", more);
    if (!line.json) report_taken(out, names);
    return result;
}

int status(const CommandLine& line, std::ostream& out) {
    return report(line, out, Takeover(TakeoverFiles::under(line.root)), "");
}

}  // namespace

void add_takeover_commands(CLI::App& app, CommandLine& line) {
    CLI::App& takeover = *app.add_subcommand(
        "takeover", "Let plain disk lines ('/path," + std::string(plain_format().name) + ",xvda,w') run on tapdisk");
    takeover.require_subcommand(1);
    takeover.add_option("--root", line.root, "The host's files are below this directory")->capture_default_str();
    takeover.fallthrough();
    add_command(takeover, line, "enable", "Put a wrapper in the place of Xen's hotplug script 'block'", enable);
    add_command(takeover, line, "disable", "Put Xen's script back", disable);
    add_command(takeover, line, "status", "Whether it is enabled, and whether something changed since", status);
}

}  // namespace blktap::tap_ctl
