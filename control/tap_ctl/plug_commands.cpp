// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// plug and unplug: a disk without a toolstack, for dom0 itself or for a guest that xl does not manage.
#include <ostream>

#include "control/client/image_target.hpp"
#include "control/tap_ctl/command_line.hpp"
#include "control/tap_ctl/table.hpp"
#include "control/tap_ctl/vbd_name.hpp"
#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tap_ctl {
namespace {

// Opening may follow a long chain of images; closing waits for the guest, and then for the disk.
constexpr std::chrono::seconds plug_time{60};
constexpr std::chrono::seconds unplug_time{120};

ipc::VbdArguments vbd_of(const CommandLine& line) {
    if (!line.vbd.empty() || line.device.empty()) return read_vbd(line.vbd, domains_named);
    const std::uint32_t device = read_device(line.device);
    return {read_domain(line.domain, domains_named), device};
}

int plug(const CommandLine& line, std::ostream& out) {
    const ipc::Plug arguments{vbd_of(line), image_named(line.image, line.read_only)};
    const ipc::Json result = TapbackClient(line.socket).call_for_json(arguments, plug_time);
    if (line.json) return print_result(line, out, result);
    const auto device = result.get<ipc::DeviceDescription>();
    out << arguments.vbd.domain << '/' << arguments.vbd.device << " is " << ipc::device_name(arguments.vbd.device)
        << " of domain " << arguments.vbd.domain << ": " << size_text(device.size_sectors)
        << (device.read_only ? ", read-only" : "") << '\n';
    return 0;
}

int unplug(const CommandLine& line, std::ostream& out) {
    const ipc::Unplug arguments{vbd_of(line), line.force};
    return print_result(line, out, TapbackClient(line.socket).call_for_json(arguments, unplug_time));
}

}  // namespace

void add_plug_commands(CLI::App& app, CommandLine& line) {
    CLI::App& in = add_command(app, line, "plug", "Give a running domain a disk, without a toolstack", plug);
    in.add_option("--domain", line.domain, "The domain: its number or its name; 0 is this one")->required();
    in.add_option("--device", line.device, "The device that it sees: xvdb, or a number")->required();
    in.add_option("--image", line.image, "FORMAT:/path[?option=value&...]")->required();
    in.add_flag("--read-only", line.read_only, "Open the image for reading only");

    CLI::App& away = add_command(app, line, "unplug", "Take away a disk that was plugged", unplug);
    auto* vbd = away.add_option("VBD", line.vbd, "Which: DOMAIN/DEVICE; or by --domain and --device");
    auto* domain = away.add_option("--domain", line.domain, "The domain: its number or its name")->excludes(vbd);
    auto* device = away.add_option("--device", line.device, "The device: xvdb, or a number")->excludes(vbd);
    domain->needs(device);
    device->needs(domain);
    away.add_flag("--force", line.force, "Do not ask the guest, which loses what it has not written");
}

}  // namespace blktap::tap_ctl
