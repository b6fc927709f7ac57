// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tap_ctl/command_line.hpp"

#include <ostream>

#include "control/tap_ctl/table.hpp"
#include "libblktap/base/version.hpp"
#include "libblktap/ipc/json_text.hpp"

namespace blktap::tap_ctl {
namespace {

constexpr int failed = 1;
constexpr int wrong_usage = 2;
constexpr const char* footer =
    "A VBD is DOMAIN/DEVICE: 5/51712, 5/xvda, or with the domain's name guest/xvda.\n"
    "An image is FORMAT:/path[?option=value&...], for example raw:/srv/disk.img.\n"
    "Exit status: 0 done, 1 it failed, 2 wrong usage. The whole manual: tap-ctl(8).";

}  // namespace

CLI::App& add_command(CLI::App& app, CommandLine& line, const char* name, const char* what, Command command) {
    CLI::App& added = *app.add_subcommand(name, what);
    added.callback([&line, command] { line.run = [&line, command](std::ostream& out) { return command(line, out); }; });
    return added;
}

int print_result(const CommandLine& line, std::ostream& out, const ipc::Json& result) {
    if (line.json) out << ipc::to_text(result, 2) << '\n';
    return 0;
}

int run_tap_ctl(int argument_count, const char* const* arguments, std::ostream& out, std::ostream& err) {
    CommandLine line;
    line.notes = &err;
    CLI::App app{"Looks at and works on the disks that tapback serves.", "tap-ctl"};
    app.set_version_flag("--version", "tap-ctl " + std::string(version));
    app.add_option("--socket", line.socket, "tapback's control socket; also $TAPBACK_SOCKET")->capture_default_str();
    app.add_flag("--json", line.json, "Print JSON: what tapback answered, see docs/tapback-protocol.md");
    app.footer(footer);
    app.require_subcommand(1);
    app.fallthrough();
    add_vbd_commands(app, line);
    add_plug_commands(app, line);
    add_takeover_commands(app, line);
    add_image_commands(app, line);
    add_block_tap_commands(app, line);
    try {
        app.parse(argument_count, arguments);
    } catch (const CLI::ParseError& error) {
        return app.exit(error, out, err) == 0 ? 0 : wrong_usage;
    }
    try {
        const int status = line.run(out);
        out.flush();
        if (!out) throw std::runtime_error("could not write the output");
        return status;
    } catch (const std::exception& error) {
        err << "tap-ctl: " << printable(error.what()) << '\n';
        return failed;
    }
}

}  // namespace blktap::tap_ctl
