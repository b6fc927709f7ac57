// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The options that commands share: the backend, the guest, and the part of the disk.
#include <algorithm>
#include <cstdlib>

#include "tests/replay/command_options.hpp"

namespace blktap::replay {
namespace {

unsigned default_domain() {
    const char* domain = std::getenv("FAKEXEN_DOMAIN");
    return domain == nullptr ? 0 : static_cast<unsigned>(std::strtoul(domain, nullptr, 10));
}

void add_xenstore(CLI::App& command, CommandOptions& options) {
    XenstoreOptions& xenstore = options.target.xenstore;
    command.add_option("--xenstore", xenstore.frontend, "Frontend's directory in xenstore, whose guest we are then")
        ->type_name("PATH");
    const char* const odd = "An odd frontend (with --xenstore)";
    command.add_flag("--no-init-wait", xenstore.skip_init_wait, "Publish the rings without waiting for offers")
        ->group(odd);
    command.add_flag("--straight-to-connected", xenstore.straight_to_connected, "Publish them with state 4, not 3")
        ->group(odd);
    command.add_flag("--omit-protocol", xenstore.odd.omit_protocol, "Do not say which --protocol it is")->group(odd);
    command.add_flag("--never-close", xenstore.never_close, "Asked to close, stay in Closing and go on")->group(odd);
    command
        .add_flag("--close-at-once", xenstore.close_at_once, "Asked to close, say Closed before everything is answered")
        ->group(odd);
    command.add_option("--node", options.nodes, "Also write this node, in place of ours; more than once")
        ->type_name("NAME=VALUE")
        ->group(odd);
}

}  // namespace

void add_target(CLI::App& command, CommandOptions& options) {
    Target& target = options.target;
    target.frontend.domain = static_cast<xen::DomainId>(default_domain());
    command.add_option("--tapdisk", target.tapdisk, "Control socket of the tapdisk, whose controller we are then")
        ->type_name("SOCKET");
    command.add_flag("--local", target.frontend.local,
                     "Rings in memory shared with the tapdisk, as a program of its host has them (needs no Xen)");
    command.add_option("--connection", target.name, "Connect under this name, beside the guest and others")
        ->type_name("NAME");
    add_xenstore(command, options);
    command.add_option("--domain", target.frontend.domain, "Our domain, as the tapdisk sees it")
        ->type_name("N")
        ->capture_default_str();
    command.add_option("--backend-domain", target.frontend.backend_domain, "Domain of the tapdisk")
        ->type_name("N")
        ->capture_default_str();
    command.add_option("--timeout", options.timeout_s, "Seconds without any answer that are a failure")
        ->check(CLI::PositiveNumber.description(""))
        ->type_name("S")
        ->capture_default_str();
}

void add_range(CLI::App& command, CommandOptions& options) {
    command.add_option("--range", options.range, "FIRST:COUNT in sectors of 512 bytes; FIRST: reaches to the end")
        ->type_name("RANGE");
}

Nanoseconds nanoseconds(double seconds) {
    constexpr double years = 1e8;
    return std::chrono::duration_cast<Nanoseconds>(std::chrono::duration<double>(std::min(seconds, years)));
}

std::optional<SectorRange> read_range(const std::string& text) {
    if (text.empty()) return std::nullopt;
    const auto range = parse_range(text);
    if (!range) throw std::runtime_error("--range " + text + ": it is FIRST:COUNT, two numbers of sectors");
    return range;
}

std::pair<std::string, std::string> read_node(const std::string& text) {
    const std::size_t sign = text.find('=');
    if (sign == 0 || sign == std::string::npos) throw std::runtime_error("--node " + text + ": it is NAME=VALUE");
    return {text.substr(0, sign), text.substr(sign + 1)};
}

}  // namespace blktap::replay
