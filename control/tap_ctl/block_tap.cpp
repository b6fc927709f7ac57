// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tap_ctl/block_tap.hpp"

#include <ostream>

#include "control/client/image_target.hpp"
#include "drivers/formats/formats.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::tap_ctl {
namespace {

using ipc::Json;

constexpr const char* allocated_prefix = "/run/blktap-control/tapdisk/tapdisk-";
// libxl gives the whole script 40 s.
constexpr std::chrono::seconds answer_time{10};
constexpr std::chrono::seconds open_time{30};

// Both options are required() in every command that uses them.
ipc::TapArguments tap_of(const CommandLine& line) {
    return {line.block_tap.pid.value(), line.block_tap.minor.value()};
}

int check(const CommandLine& line, std::ostream& out) {
    TapbackClient(line.socket).call_for_json(ipc::Status{}, answer_time);
    out << "ok\n";
    return 0;
}

int allocate(const CommandLine& line, std::ostream& out) {
    out << tap_allocate_line(TapbackClient(line.socket).call(ipc::TapAllocate{}, answer_time).minor) << '\n';
    return 0;
}

int spawn(const CommandLine& line, std::ostream& out) {
    out << TapbackClient(line.socket).call(ipc::TapSpawn{}, answer_time).pid << '\n';
    return 0;
}

int attach(const CommandLine& line, std::ostream&) {
    TapbackClient(line.socket).call(ipc::TapAttach{tap_of(line)}, answer_time);
    return 0;
}

int open(const CommandLine& line, std::ostream&) {
    const ipc::TapOpen arguments{tap_of(line), image_of_tap(line.image, line.read_only)};
    TapbackClient(line.socket).call_for_json(arguments, open_time);
    return 0;
}

int destroy(const CommandLine& line, std::ostream&) {
    TapbackClient(line.socket).call(ipc::TapDestroy{tap_of(line)}, open_time);
    return 0;
}

int free_minor(const CommandLine& line, std::ostream&) {
    TapbackClient(line.socket).call(ipc::TapFree{{line.block_tap.minor.value()}}, answer_time);
    return 0;
}

int create(const CommandLine&, std::ostream&) {
    throw_reason(
        std::make_error_code(std::errc::not_supported),
        "create: this tap-ctl makes no block devices, which the script block-tap of Xen 4.18 and earlier needs; "
        "write script=block-tapdisk in the disk line");
}

/// For help texts: the one format that block-tap names differently ("aio is raw").
std::string plain_type() {
    return std::string(plain_format().tap_type) + " is " + std::string(plain_format().name);
}

void add_pid(CLI::App& command, CommandLine& line) {
    command.add_option("-p,--pid", line.block_tap.pid, "The tapdisk's process");
}

void add_minor(CLI::App& command, CommandLine& line) {
    command.add_option("-m,--minor", line.block_tap.minor, "The tapdisk's number");
}

/// Adds a command that names a tapdisk by its process and its number.
CLI::App& add_for_tap(CLI::App& app, CommandLine& line, const char* name, const char* what, Command command) {
    CLI::App& added = add_command(app, line, name, what, command);
    added.add_option("-p,--pid", line.block_tap.pid, "The tapdisk's process")->required();
    added.add_option("-m,--minor", line.block_tap.minor, "The tapdisk's number")->required();
    return added;
}

}  // namespace

std::string tap_list_line(const ipc::TapEntry& tap) {
    std::string text;
    if (tap.pid) text += "pid=" + std::to_string(*tap.pid) + ' ';
    if (tap.minor) text += "minor=" + std::to_string(*tap.minor) + ' ';
    if (tap.pid) text += "state=0 ";
    if (tap.image) text += "args=" + tap_type(tap.image->format) + ':' + tap.image->path + ' ';
    if (!text.empty()) text.pop_back();
    return text;
}

std::string tap_allocate_line(std::uint32_t minor) {
    return allocated_prefix + std::to_string(minor);
}

bool matches(const TapFilter& filter, const ipc::TapEntry& tap) {
    if (!filter.type.empty() && (!tap.image || tap_type(tap.image->format) != filter.type)) return false;
    if (!filter.file.empty() && (!tap.image || tap.image->path != filter.file)) return false;
    if (filter.pid && tap.pid != filter.pid) return false;
    return !filter.minor || tap.minor == filter.minor;
}

void add_block_tap_filter(CLI::App& list, CommandLine& line) {
    add_pid(list, line);
    add_minor(list, line);
    list.add_option("-t,--type", line.block_tap.type, "For block-tap: only images of this type; " + plain_type());
    list.add_option("-f,--file", line.file, "For block-tap: only this file");
}

bool asks_as_block_tap(const CommandLine& line) {
    return line.block_tap.pid || line.block_tap.minor || !line.block_tap.type.empty() || !line.file.empty();
}

int list_as_block_tap(const CommandLine& line, std::ostream& out) {
    const TapFilter filter{line.block_tap.type, line.file, line.block_tap.pid, line.block_tap.minor};
    TapbackClient tapback(line.socket);
    Json found = Json::array();
    ipc::TapList arguments;
    for (bool more = true; more;) {
        const ipc::TapListResult reply = tapback.call(arguments, answer_time);
        more = reply.more && !reply.taps.empty();
        arguments.after += static_cast<std::uint32_t>(reply.taps.size());
        for (const ipc::TapEntry& tap : reply.taps) {
            if (!matches(filter, tap)) continue;
            found.push_back(tap);
            if (!line.json) out << tap_list_line(tap) << '\n';
        }
    }
    return print_result(line, out, {{"taps", found}});
}

void add_block_tap_commands(CLI::App& app, CommandLine& line) {
    // The help lists them in a group of their own, because people do not need them.
    constexpr const char* group = "For Xen's script block-tap";
    add_command(app, line, "check", "Whether tapback runs", check).group(group);
    add_command(app, line, "allocate", "Take the lowest free number", allocate).group(group);
    add_command(app, line, "spawn", "Start a tapdisk", spawn).group(group);
    add_for_tap(app, line, "attach", "Give a tapdisk a number", attach).group(group);
    CLI::App& opens = add_for_tap(app, line, "open", "Open an image", open);
    opens.add_option("-a,--args", line.image, "TYPE:FILE; " + plain_type())->required();
    opens.add_flag("-R,--read-only", line.read_only, "For reading only");
    opens.group(group);
    add_for_tap(app, line, "destroy", "Close the image, end the tapdisk, free the number", destroy).group(group);
    // After a failed "open" the script calls "detach" and then "free"; "detach" already does both.
    add_for_tap(app, line, "detach", "The same as destroy", destroy).group(group);
    CLI::App& frees = add_command(app, line, "free", "Free a number that no tapdisk has", free_minor);
    frees.add_option("-m,--minor", line.block_tap.minor, "The number")->required();
    frees.group(group);
    CLI::App& creates = add_command(app, line, "create", "Not there: needs a kernel module", create);
    creates.add_option("-a,--args", line.image, "TYPE:FILE");
    creates.group(group);
}

}  // namespace blktap::tap_ctl
