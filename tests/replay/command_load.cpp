// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The command with the most options.
#include <algorithm>
#include <map>
#include <random>

#include "tests/replay/command_options.hpp"

namespace blktap::replay {
namespace {

/// An option whose value is one of some names.
template <class Enum>
void add_choice(CLI::App& command, const std::string& name, Enum& value, const std::map<std::string, Enum>& choices,
                const std::string& description) {
    const auto shown = std::ranges::find(choices, value, &std::pair<const std::string, Enum>::second);
    command.add_option(name, value, description)
        ->transform(CLI::CheckedTransformer(choices).description(""))
        ->type_name("NAME")
        ->default_str(shown->first);
}

void add_ring(CLI::App& command, CommandOptions& options) {
    FrontendOptions& frontend = options.target.frontend;
    command.add_option("--queues", frontend.queue_count, "Rings")
        ->check(CLI::Range(1u, ipc::queues_max).description("1 to 16"))
        ->type_name("N")
        ->capture_default_str();
    command.add_option("--ring-order", frontend.ring_order, "A ring has 2^N pages; one page holds 32 requests")
        ->check(CLI::Range(0u, ring_order_max).description("0 to 4"))
        ->type_name("N")
        ->capture_default_str();
    add_choice<ring::Protocol>(
        command, "--protocol", frontend.protocol,
        {{"native", ring::Protocol::native}, {"x86_32", ring::Protocol::x86_32}, {"x86_64", ring::Protocol::x86_64}},
        "Layout of the ring: native, x86_64 or x86_32");
    command.add_flag("--persistent", frontend.persistent, "Offer persistent grants");
}

Exit start_load(CommandOptions& options) {
    LoadOptions& load = options.load;
    if (load.size_bytes == 0 || load.size_bytes % sector_size_bytes != 0 || load.size_bytes > request_size_max_bytes)
        throw std::runtime_error("--size: a request has 512 bytes to 1 MiB, in whole sectors");
    const unsigned percent = options.mix == "read" ? 100 : options.mix == "write" ? 0 : 50;
    load.generator.read_percent = options.read_percent.value_or(percent);
    load.generator.seed = options.seed ? *options.seed : std::random_device{}();
    if (options.seconds == 0 && load.generator.requests_max == 0) options.seconds = 10;
    load.duration = nanoseconds(options.seconds);
    load.range = read_range(options.range);
    return run_load(options.target, load);
}

}  // namespace

void add_load(CLI::App& app, CommandOptions& options) {
    CLI::App& command = *app.add_subcommand("load", "Generate load, measure it, and with --verify check every byte");
    add_target(command, options);
    add_ring(command, options);
    add_range(command, options);
    LoadOptions& load = options.load;
    add_choice<GeneratorOptions::Pattern>(
        command, "--pattern", load.generator.pattern,
        {{"random", GeneratorOptions::Pattern::random}, {"sequential", GeneratorOptions::Pattern::sequential}},
        "random or sequential");
    command.add_option("--mix", options.mix, "read, write or mixed")
        ->check(CLI::IsMember({"read", "write", "mixed"}).description(""))
        ->type_name("NAME")
        ->capture_default_str();
    command.add_option("--read-percent", options.read_percent, "Share of reads; default 50 when mixed")
        ->check(CLI::Range(0u, 100u).description(""))
        ->type_name("N");
    command.add_option("--size", load.size_bytes, "Bytes of a request, as 4k or 1M; at most 1M")
        ->transform(CLI::AsSizeValue(false).description(""))
        ->type_name("BYTES")
        ->capture_default_str();
    command.add_option("--depth", load.depth, "Requests in flight on each queue")
        ->type_name("N")
        ->capture_default_str();
    add_choice<Indirect>(command, "--indirect", load.indirect,
                         {{"auto", Indirect::automatic}, {"always", Indirect::always}, {"never", Indirect::never}},
                         "auto: when a request has more than 11 segments; always; never");
    command.add_option("--seconds", options.seconds, "How long; default 10 unless --requests is given")
        ->check(CLI::NonNegativeNumber.description(""))
        ->type_name("S");
    command.add_option("--requests", load.generator.requests_max, "How many reads and writes")->type_name("N");
    command.add_option("--flush-every", load.generator.flush_every, "A flush after each N writes")->type_name("N");
    command.add_option("--seed", options.seed, "Repeat a run; the report names it")->type_name("N");
    command.add_flag("--verify", load.verify, "Stamp every write, judge every read, at the end read everything back");
    command.add_flag("--spin", load.spin, "Look at the rings all the time instead of sleeping");
    command.add_flag("--json", load.json, "Report as JSON");
    command.callback([&options] { options.run = [&options] { return start_load(options); }; });
}

}  // namespace blktap::replay
