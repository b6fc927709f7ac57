// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The report is of the load alone; the reading back afterwards is not measured.
#include "tests/replay/load/load.hpp"

#include <cstdio>

#include "tests/replay/progress.hpp"

namespace blktap::replay {
namespace {

void refuse_what_cannot_be(const LoadOptions& options, SectorRange range, const ipc::DeviceDescription& device) {
    if (device.read_only && options.generator.read_percent != 100)
        throw std::runtime_error("the disk is read-only: only --mix read is possible");
    if (range.length_bytes() < options.size_bytes)
        throw std::runtime_error("a request of --size is larger than the range it goes to");
}

void print_report(const Statistics& statistics, const LoadOptions& options, std::uint64_t sectors_verified) {
    if (options.json) {
        nlohmann::json report = to_json_report(statistics);
        report["seed"] = options.generator.seed;
        report["verified"] = options.verify;
        std::printf("%s\n", report.dump(2).c_str());
        return;
    }
    std::printf("%sseed         %llu\n", format_table(statistics).c_str(),
                static_cast<unsigned long long>(options.generator.seed));
    if (options.verify)
        std::printf("verified     %llu sectors read back, no mismatch\n",
                    static_cast<unsigned long long>(sectors_verified));
}

}  // namespace

Exit run_load(const Target& target, LoadOptions options) {
    const auto connection = target.open();
    Session session(*connection, target.frontend, target.interrupt_fd);
    const SectorRange range = resolve_range(options.range, session.device());
    refuse_what_cannot_be(options, range, session.device());

    const std::uint64_t block_sectors = options.size_bytes / sector_size_bytes;
    const std::size_t segment_count = segments_for(block_sectors).size();
    const bool indirect = choose_indirect(options.indirect, segment_count, session.device());
    options.generator.exclusive = options.verify;
    std::optional<DiskModel> model;
    if (options.verify) model.emplace(range, options.generator.seed);

    const MonotonicClock clock;
    Pump pump(
        session, clock,
        {options.depth, static_cast<std::uint32_t>(segment_count), options.spin, target.timeout, progress_line()});
    const Nanoseconds until = options.duration.count() == 0 ? Nanoseconds::max() : clock.now() + options.duration;
    LoadTraffic load(options.generator, range, block_sectors, indirect, until, model ? &*model : nullptr);
    Statistics statistics;
    pump.run(load, statistics);

    Statistics reading_back;
    if (model) {
        ReadBackTraffic read_back(*model, block_sectors, indirect);
        if (!pump.run(read_back, reading_back)) throw std::runtime_error("interrupted before everything was verified");
    }
    session.disconnect();
    print_report(statistics, options, reading_back.bytes / sector_size_bytes);
    if (statistics.errors + statistics.unsupported == 0) return Exit::okay;
    std::fprintf(stderr, "ring-replay: %llu requests were not answered okay\n",
                 static_cast<unsigned long long>(statistics.errors + statistics.unsupported));
    return Exit::failed;
}

}  // namespace blktap::replay
