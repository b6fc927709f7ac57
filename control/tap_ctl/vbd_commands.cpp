// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The commands about one VBD or all of them, which are requests to tapback.
#include <cerrno>
#include <fcntl.h>
#include <ostream>
#include <string>
#include <unistd.h>

#include "control/client/image_target.hpp"
#include "control/tap_ctl/block_tap.hpp"
#include "control/tap_ctl/command_line.hpp"
#include "control/tap_ctl/table.hpp"
#include "control/tap_ctl/vbd_list.hpp"
#include "drivers/shared/options.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/unique_fd.hpp"
#include "libblktap/ipc/json_text.hpp"
#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tap_ctl {
namespace {

using ipc::Json;

constexpr std::chrono::seconds answer_time{10};  // for requests that wait for no disk
constexpr std::chrono::seconds disk_time{120};   // a pause waits for a slow disk's I/O

/// Returns tapback's entry with the tapdisk's answer to "about", if there is one.
Json with_tapdisk(Json vbd, const std::optional<ipc::AboutResult>& about) {
    if (about) vbd["tapdisk"] = *about;
    return vbd;
}

/// Lists the version that serves each disk. Every tapdisk is asked.
int list_tapdisks(const CommandLine& line, std::ostream& out) {
    TapbackClient tapback(line.socket);
    std::vector<VbdTapdisk> vbds;
    Json all = Json::array();
    const auto entries = list_vbds(tapback);
    const auto abouts = about_tapdisks(entries, tapback);
    for (std::size_t i = 0; i < entries.size(); ++i) {
        vbds.push_back({entries[i], abouts[i]});
        all.push_back(with_tapdisk(entries[i], abouts[i]));
    }
    if (line.json) return print_result(line, out, {{"vbds", all}, {"more", false}});
    print_tapdisks(out, vbds);
    return 0;
}

int list(const CommandLine& line, std::ostream& out) {
    if (asks_as_block_tap(line)) return list_as_block_tap(line, out);
    if (line.tapdisks) return list_tapdisks(line, out);
    TapbackClient tapback(line.socket);
    const auto all = list_all(tapback);
    if (line.json) {
        out << ipc::to_text(all, 2) << '\n';
    } else {
        print_list(out, all);
    }
    return 0;
}

int info(const CommandLine& line, std::ostream& out) {
    TapbackClient tapback(line.socket);
    const ipc::VbdArguments vbd = find_vbd(line.vbd, tapback);
    const Json result = tapback.call_for_json(ipc::Info{vbd}, answer_time);
    const auto about = about_tapdisk(vbd, tapback);
    if (line.json) return print_result(line, out, with_tapdisk(result, about));
    print_info(out, {result.get<ipc::VbdEntry>(), about});
    return 0;
}

int stats(const CommandLine& line, std::ostream& out) {
    TapbackClient tapback(line.socket);
    const Json result = tapback.call_for_json(ipc::VbdStats{find_vbd(line.vbd, tapback)}, answer_time);
    if (line.json) return print_result(line, out, result);
    print_values(out, result);
    return 0;
}

int status(const CommandLine& line, std::ostream& out) {
    const Json result = TapbackClient(line.socket).call_for_json(ipc::Status{}, answer_time);
    if (line.json) return print_result(line, out, result);
    const auto status = result.get<ipc::StatusResult>();
    out << "tapback " << printable(status.version) << ", pid " << status.pid << ": "
        << (status.vbds == 1 ? "1 disk" : std::to_string(status.vbds) + " disks")
        << (status.xenstore ? "" : ", but xenstored does not answer") << '\n';
    return 0;
}

int recover(const CommandLine& line, std::ostream& out) {
    TapbackClient tapback(line.socket);
    return print_result(line, out, tapback.call_for_json(ipc::VbdRecover{find_vbd(line.vbd, tapback)}, disk_time));
}

/// Has the installed tapdisk take the place of each that serves; goes on after one that cannot be replaced.
int upgrade(const CommandLine& line, std::ostream& out) {
    TapbackClient tapback(line.socket);
    const bool is_one = !line.vbd.empty();
    if (is_one == line.all) throw std::runtime_error("upgrade: name a VBD, or --all");
    if (is_one)
        return print_result(line, out, tapback.call_for_json(ipc::VbdUpgrade{find_vbd(line.vbd, tapback)}, disk_time));
    const auto vbds = list_vbds(tapback);
    std::size_t number = 0;
    std::size_t failed = 0;
    for (const ipc::VbdEntry& vbd : vbds) {
        out << ++number << '/' << vbds.size() << ' ' << vbd.backend.name() << ": " << std::flush;
        try {
            (void)tapback.call_for_json(ipc::VbdUpgrade{{vbd.backend.domain, vbd.backend.device}}, disk_time);
            out << "upgraded" << std::endl;
        } catch (const std::exception& error) {
            ++failed;
            out << printable(error.what()) << std::endl;
        }
    }
    if (failed != 0)
        throw std::runtime_error(std::to_string(failed) + " of " + std::to_string(vbds.size()) +
                                 " disks go on with the tapdisk that they had");
    return 0;
}

int pause(const CommandLine& line, std::ostream& out) {
    TapbackClient tapback(line.socket);
    return print_result(line, out, tapback.call_for_json(ipc::VbdPause{find_vbd(line.vbd, tapback)}, disk_time));
}

int resume(const CommandLine& line, std::ostream& out) {
    TapbackClient tapback(line.socket);
    ipc::VbdResume arguments{find_vbd(line.vbd, tapback), std::nullopt, line.accept_loss};
    if (!line.image.empty()) arguments.image = image_named(line.image, line.read_only);
    return print_result(line, out, tapback.call_for_json(arguments, disk_time));
}

int resize(const CommandLine& line, std::ostream& out) {
    const auto size_bytes = parse_size(line.size);
    if (!size_bytes) throw std::runtime_error(line.size + ": not a size such as 512M, 20G or 2T");
    TapbackClient tapback(line.socket);
    const ipc::VbdResize arguments{find_vbd(line.vbd, tapback), *size_bytes};
    return print_result(line, out, tapback.call_for_json(arguments, disk_time));
}

int start_recording(const CommandLine& line, std::ostream& out) {
    TapbackClient tapback(line.socket);
    const ipc::VbdRecording arguments{find_vbd(line.vbd, tapback), true};
    // It must be a new file: a mistyped name must not empty an image.
    const UniqueFd trace{::open(line.file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    if (!trace) throw_system_error(line.file);
    try {
        return print_result(line, out, tapback.call_for_json(arguments, answer_time, {trace.get()}));
    } catch (...) {
        ::unlink(line.file.c_str());
        throw;
    }
}

int stop_recording(const CommandLine& line, std::ostream& out) {
    TapbackClient tapback(line.socket);
    const ipc::VbdRecording arguments{find_vbd(line.vbd, tapback), false};
    return print_result(line, out, tapback.call_for_json(arguments, disk_time));
}

void add_log_level(CLI::App& app, CommandLine& line) {
    CLI::App& added = *app.add_subcommand("log-level", "Set how much tapback logs, until it ends");
    const CLI::Option* const option = added.add_option("LEVEL", "debug, info, warning or error")->required();
    added.callback([&line, option] {
        line.run = [&line, level = option->as<std::string>()](std::ostream& out) {
            const auto message = Json{{"level", level}}.get<ipc::LogLevel>();  // the message knows the levels
            return print_result(line, out, TapbackClient(line.socket).call_for_json(message, answer_time));
        };
    });
}

CLI::App& add_for_vbd(CLI::App& app, CommandLine& line, const char* name, const char* what, Command command) {
    CLI::App& added = add_command(app, line, name, what, command);
    added.add_option("VBD", line.vbd, "Which: DOMAIN/DEVICE, for example 5/xvda, or the path of its image")->required();
    return added;
}

}  // namespace

void add_vbd_commands(CLI::App& app, CommandLine& line) {
    add_command(app, line, "status", "Whether tapback runs, and how much it serves", status);
    add_log_level(app, line);
    add_for_vbd(app, line, "info", "All about one VBD", info);
    add_for_vbd(app, line, "stats", "The counters of a VBD's tapdisk", stats);
    add_for_vbd(app, line, "pause", "Close the image and let the guest wait, so that the image may be moved", pause);
    add_for_vbd(app, line, "recover", "Start another tapdisk where one died too often, or could not be replaced",
                recover);

    CLI::App& replaced =
        add_command(app, line, "upgrade", "Have the installed tapdisk go on with a disk, or all", upgrade);
    replaced.add_option("VBD", line.vbd, "Which: DOMAIN/DEVICE, for example 5/xvda, or the path of its image");
    replaced.add_flag("--all", line.all, "All, one after the other");

    CLI::App& go_on = add_for_vbd(app, line, "resume", "Go on after pause, or try again what waits for space", resume);
    auto* image = go_on.add_option("--image", line.image, "Go on with another image of the same contents");
    go_on.add_flag("--read-only", line.read_only, "Open that image for reading only")->needs(image);
    go_on.add_flag("--accept-loss", line.accept_loss,
                   "After a failed flush: tell the guest that what it wrote may be lost, and go on");

    add_for_vbd(app, line, "resize", "Make a disk larger while the guest uses it", resize)
        .add_option("SIZE", line.size, "The new size: bytes, or in units of 1024 with K, M, G or T: 20G")
        ->required();

    CLI::App& record = *app.add_subcommand("record", "Record the requests of a guest for ring-replay");
    record.require_subcommand(1);
    add_for_vbd(record, line, "start", "Write every request to FILE from now on", start_recording)
        .add_option("FILE", line.file, "The trace; a file that is not there yet")
        ->required();
    add_for_vbd(record, line, "stop", "Stop; the trace is complete when this returns", stop_recording);

    CLI::App& all = add_command(app, line, "list", "All VBDs that tapback serves", list);
    all.add_flag("--tapdisks", line.tapdisks, "The version of each disk's tapdisk, and how long it has run");
    add_block_tap_filter(all, line);
}

}  // namespace blktap::tap_ctl
