// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// One function for each command: it adds the command's options and the function that runs it.
#include "tests/replay/command_options.hpp"

#include <cstdlib>

namespace blktap::replay {
namespace {

constexpr const char* script_footer =
    "A script is text; '#' begins a comment. Before the requests:\n"
    "  ring protocol=x86_64|x86_32|native order=0..4 queues=1..16 persistent=yes|no discard=yes|no\n"
    "  protocols all                        run once in each layout\n"
    "  require size-sectors>=N read-only=yes|no discard=yes|no indirect>=N\n"
    "Requests, each with the answer that must come (okay when none is named):\n"
    "  write sector=0 segments=0-7,0-7 fill=A -> okay\n"
    "  read sector=0 segments=0-7*2 expect=A -> okay      (expect=zeros: zeros)\n"
    "  flush    barrier sector=8 segments=0-7 fill=B    discard sector=0 sectors=64 [secure]\n"
    "  indirect inner=read sector=0 segments=0-7*20 expect=A\n"
    "  raw operation=9 sector=0xfffffffffffffff8 nr_segments=255 segments=3-1,0-255 -> not-supported\n"
    "Fields of every request: id=N queue=N handle=N. A segment is FIRST-LAST[*COUNT][@GREF|@read-only].\n"
    "Answers: okay, error, not-supported, any, none. Between 'batch' and 'end' requests are published together, and\n"
    "answers may come in any order. 'producer +N' breaks the producer index, 'stopped' checks that the ring is dead,\n"
    "'expect-none' that nothing comes, 'reconnect' starts again with fresh rings.\n"
    "The whole language: ring-replay(1).\n"
    "\n"
    "  # two-lines.replay\n"
    "  write sector=0 segments=0-7 fill=A -> okay\n"
    "  read sector=0 segments=0-7 expect=A -> okay\n"
    "  ring-replay script two-lines.replay --tapdisk /run/tapdisk/test.sock";

void add_copy(CLI::App& app, CommandOptions& options) {
    CLI::App& read = *app.add_subcommand("read", "Read the disk, or a range of it, into a file");
    add_target(read, options);
    add_range(read, options);
    read.add_option("-o,--output", options.copy.file, "File to write; - is standard output")
        ->required()
        ->type_name("FILE");
    read.callback([&options] {
        options.run = [&options] {
            options.copy.range = read_range(options.range);
            return run_read(options.target, options.copy);
        };
    });

    CLI::App& write = *app.add_subcommand("write", "Write a file to the disk, or to a range of it, and flush");
    add_target(write, options);
    add_range(write, options);
    write.add_option("-i,--input", options.copy.file, "File to read; - is standard input")
        ->required()
        ->type_name("FILE");
    write.callback([&options] {
        options.run = [&options] {
            options.copy.range = read_range(options.range);
            return run_write(options.target, options.copy);
        };
    });
}

void add_script(CLI::App& app, CommandOptions& options) {
    CLI::App& command = *app.add_subcommand("script", "Run replay scripts: requests and the answers that must come");
    command.footer(script_footer);
    add_target(command, options);
    command.add_option("FILE", options.scripts, "Scripts")->required()->type_name("");
    command.callback([&options] { options.run = [&options] { return run_scripts(options.target, options.scripts); }; });
}

Exit start_trace(CommandOptions& options) {
    const Target& target = options.target;
    if (!options.trace.print_only && target.tapdisk.empty() && target.xenstore.frontend.empty())
        throw std::runtime_error("trace needs --tapdisk or --xenstore, or --print");
    if (options.speed == "full") {
        options.trace.speed = 0;
    } else if (options.speed != "recorded") {
        options.trace.speed = std::strtod(options.speed.c_str(), nullptr);
        if (!(options.trace.speed > 0))
            throw std::runtime_error("--speed " + options.speed + ": it is recorded, full, or a factor above 0");
    }
    return run_trace(options.target, options.trace);
}

void add_trace(CLI::App& app, CommandOptions& options) {
    CLI::App& command =
        *app.add_subcommand("trace", "Play recorded traffic; what its writes write is noise: use a copy of the disk");
    add_target(command, options);
    command.add_option("FILE", options.trace.file, "A trace, as record makes it")->required()->type_name("");
    command.add_option("--speed", options.speed, "recorded, full, or a factor: 2 is twice as fast")
        ->type_name("SPEED")
        ->capture_default_str();
    command.add_option("--depth", options.trace.depth, "At most so many requests in flight on each queue")
        ->type_name("N")
        ->capture_default_str();
    command.add_option("--ring-order", options.target.frontend.ring_order, "A ring has 2^N pages")
        ->check(CLI::Range(0u, ring_order_max).description("0 to 4"))
        ->type_name("N")
        ->capture_default_str();
    command.add_flag("--print", options.trace.print_only, "Only print the records; needs no tapdisk");
    command.add_flag("--json", options.trace.json, "Report as JSON");
    command.callback([&options] { options.run = [&options] { return start_trace(options); }; });
}

void add_record(CLI::App& app, CommandOptions& options) {
    CLI::App& command = *app.add_subcommand("record", "Have a running tapdisk record its guest's requests");
    command.add_option("--tapdisk", options.record.tapdisk, "Control socket of the tapdisk")
        ->required()
        ->type_name("SOCKET");
    command.add_option("-o,--output", options.record.output, "Trace to write; replaced")->required()->type_name("FILE");
    command.add_option("--seconds", options.seconds, "How long; default: until Ctrl-C")
        ->check(CLI::NonNegativeNumber.description(""))
        ->type_name("S");
    command.callback([&options] {
        options.run = [&options] {
            options.record.duration = nanoseconds(options.seconds);
            return run_record(options.record);
        };
    });
}

}  // namespace

void add_commands(CLI::App& app, CommandOptions& options) {
    app.require_subcommand(1);
    add_load(app, options);
    add_copy(app, options);
    add_script(app, options);
    add_trace(app, options);
    add_record(app, options);
    app.final_callback([&options] {
        options.target.timeout = nanoseconds(options.timeout_s);
        for (const std::string& node : options.nodes)
            options.target.xenstore.odd.nodes.push_back(read_node(node));
    });
}

}  // namespace blktap::replay
