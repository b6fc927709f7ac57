// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/options.hpp"

#include <iostream>
#include <map>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "drivers/shared/options.hpp"
#include "libblktap/base/version.hpp"
#include "tapdisk/ring/recovery_log.hpp"

namespace blktap {

std::optional<Options> parse_options(int argument_count, char** arguments, int& exit_status) {
    Options options;
    std::string image;
    std::string recovery_log;
    bool read_only = false;
    bool syslog = false;
    CLI::App app{"Serves one Xen virtual block device from an image file. See tapdisk(8)."};
    app.name("tapdisk");
    app.set_version_flag("--version", "tapdisk " + std::string(version));
    app.add_option("--open", image,
                   "Open this image at the start: FORMAT:PATH[?option=value&...], e.g. raw:/srv/disk.img");
    app.add_flag("--read-only", read_only, "Open it for reading only");
    app.add_option("--control", options.control_path, "The control socket")
        ->default_str("/run/tapdisk/tapdisk-PID.sock");
    app.add_option("--recovery-log", recovery_log,
                   "Keep unanswered requests in this file, best on tmpfs "
                   "(default: in memory that ends with the process)");
    app.add_option("--client-fd", options.client_fd,
                   "A connected control socket, the first client; without an image, its hang-up ends tapdisk")
        ->check(CLI::NonNegativeNumber);
    app.add_option("--listen-fd", options.listen_fd,
                   "The control socket, bound to the path of --control by the starter, who also removes it")
        ->check(CLI::NonNegativeNumber);
    app.add_option("--sandbox", options.sandbox,
                   "Give up all rights before an image is opened: its files must come from the controller; debug: a "
                   "system call that is not allowed is named")
        ->transform(CLI::CheckedTransformer(std::map<std::string, sandbox::Mode>{
            {"off", sandbox::Mode::off}, {"on", sandbox::Mode::on}, {"debug", sandbox::Mode::debug}}))
        ->default_str("off");
    app.add_option("--first-user", options.first_user,
                   "With --sandbox and root's rights: become the user of this number plus that of the process")
        ->check(CLI::Range(1u, 0xff000000u))
        ->capture_default_str();
    app.add_option("--group-fd", options.group_fd,
                   "With --sandbox: enter the control group whose cgroup.procs this is, open for writing")
        ->check(CLI::NonNegativeNumber);
    app.add_option("--network-fd", options.network_fd,
                   "With --sandbox: enter this network namespace, where there is nothing, instead of a new one")
        ->check(CLI::NonNegativeNumber);
    app.add_option("--aio-slots", options.aio_slots,
                   "I/O operations in the kernel at once; counts against fs.aio-max-nr")
        ->check(CLI::Range(1u, 4096u))
        ->capture_default_str();
    app.add_option("--poll-us", options.poll_us, "Look for work up to this many microseconds before sleeping; 0: never")
        ->check(CLI::Range(0u, 1000u))
        ->capture_default_str();
    std::string memory_budget;
    app.add_option("--memory-budget", memory_budget,
                   "Memory for the tables of an image and all that it is over, together: 256M, 1G")
        ->check(CLI::Validator(size_mistake, ""))
        ->default_str("256M");
    app.add_option("--log-level", options.level, "What to log")
        ->transform(CLI::CheckedTransformer(std::map<std::string, log::Level>{{"debug", log::Level::debug},
                                                                              {"info", log::Level::info},
                                                                              {"warning", log::Level::warning},
                                                                              {"error", log::Level::error}}))
        ->default_str("info");
    app.add_flag("--syslog", syslog, "Log to syslog instead of standard error");
    std::optional<unsigned> log_version;
    app.add_option("--can-adopt", log_version,
                   "Only tell whether this program can go on with a recovery log of this version: status 0, or 1");
    try {
        app.parse(argument_count, arguments);
    } catch (const CLI::ParseError& error) {
        exit_status = app.exit(error) == 0 ? 0 : 2;
        return std::nullopt;
    }
    if (log_version) {
        const bool can = log_layout::oldest_version <= *log_version && *log_version <= log_layout::version;
        if (!can) std::cerr << "tapdisk: recovery logs of version " << *log_version << " are not known\n";
        exit_status = can ? 0 : 1;
        return std::nullopt;
    }
    if (!image.empty()) {
        try {
            options.image = parse_image_spec(image, read_only ? Access::read_only : Access::read_write);
        } catch (const std::system_error& error) {
            std::cerr << "tapdisk: --open " << error.what() << '\n';
            exit_status = 2;
            return std::nullopt;
        }
    }
    const bool opens_files = options.image || !recovery_log.empty();
    if (options.sandbox != sandbox::Mode::off && opens_files) {
        std::cerr << "tapdisk: --open and --recovery-log open files later, which --sandbox forbids\n";
        exit_status = 2;
        return std::nullopt;
    }
    if (!memory_budget.empty()) options.memory_budget_bytes = parse_size(memory_budget).value();
    if (!recovery_log.empty()) options.recovery_log_path = recovery_log;
    if (options.control_path.empty()) {
        options.control_path = "/run/tapdisk/tapdisk-" + std::to_string(::getpid()) + ".sock";
    }
    if (syslog) options.sink = log::Sink::syslog;
    return options;
}

}  // namespace blktap
