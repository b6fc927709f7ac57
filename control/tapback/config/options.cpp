// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// One CLI::App reads both: the command line, and each line of the file as if it were the only option of a command line.
// So a key is an option without its dashes, with the same rules and the same errors.
#include "control/tapback/config/options.hpp"

#include <filesystem>
#include <iostream>
#include <map>
#include <stdexcept>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "control/tapback/config/config_file.hpp"
#include "control/tapback/config/installed.hpp"
#include "drivers/shared/options.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/version.hpp"

namespace blktap::tapback {
namespace {

const std::map<std::string, log::Level> levels{{"debug", log::Level::debug},
                                               {"info", log::Level::info},
                                               {"warning", log::Level::warning},
                                               {"error", log::Level::error}};

const std::map<std::string, Options::Sandbox> sandboxes{
    {"on", Options::Sandbox::on}, {"debug", Options::Sandbox::debug}, {"off", Options::Sandbox::off}};

std::string require_absolute(const std::string& path) {
    return path.starts_with('/') ? "" : path + ": not an absolute path";
}

/// Commas separate the directories of one value; spaces may follow them.
std::string trim_directory(std::string path) {
    return CLI::detail::trim(path);
}

struct Parser {
    Options options;
    std::string config;
    std::string memory_budget;
    bool syslog = false;
    CLI::App app{"Serves the disks of Xen guests from image files: one tapdisk for each. See tapback(8)."};

    Parser() {
        app.name("tapback");
        app.set_version_flag("--version", "tapback " + std::string(version));
        app.add_option("--config", config, "Read this configuration file instead of the installed one")
            ->type_name("FILE");
        app.add_option("--run-directory", options.run_directory, "Where sockets and state are kept; best on tmpfs")
            ->check(CLI::Validator(require_absolute, ""))
            ->type_name("DIRECTORY")
            ->capture_default_str();
        app.add_option("--tapdisk", options.tapdisk, "The program that serves one disk")
            ->check(CLI::Validator(require_absolute, ""))
            ->type_name("FILE")
            ->default_str("beside this program");
        add_directories("--image-directories", options.image_directories,
                        "Open images in these directories only, separated by commas")
            ->default_str("/");
        add_directories("--backing-directories", options.backing_directories,
                        "Open what an image names, such as its backing file, also in these, not only below its folder");
        app.add_option("--problem-hook", options.problem_hook,
                       "Run this program when something is wrong with a disk's storage, and when that is over")
            ->check(CLI::Validator(require_absolute, ""))
            ->type_name("FILE");
        app.add_option("--log-level", options.level, "What to log")
            ->transform(CLI::CheckedTransformer(levels))
            ->default_str("info");
        app.add_flag("--syslog", syslog, "Log to syslog instead of standard error");
        app.add_option("--sandbox", options.sandbox,
                       "Take all rights from each tapdisk; debug: it names a forbidden system call before it ends")
            ->transform(CLI::CheckedTransformer(sandboxes))
            ->default_str("on");
        app.add_option("--control-group", options.control_group,
                       "Make a control group for each tapdisk in this one; none: they share tapback's")
            ->check(CLI::Validator(require_absolute, "") | CLI::IsMember({"none"}))
            ->type_name("DIRECTORY")
            ->capture_default_str();
        app.add_option("--poll-us", options.poll_us,
                       "A tapdisk looks for work up to this many microseconds before it sleeps; 0: never")
            ->check(CLI::Range(0u, 1000u))
            ->capture_default_str();
        app.add_option("--aio-slots", options.aio_slots,
                       "I/O operations of a tapdisk in the kernel at once; counts against fs.aio-max-nr")
            ->check(CLI::Range(1u, 4096u))
            ->capture_default_str();
        app.add_option("--deaths-per-minute", options.deaths_max,
                       "After so many deaths of a disk's tapdisks the disk is held, until tap-ctl recover; 0: never")
            ->check(CLI::Range(0u, 1000u))
            ->capture_default_str();
        app.add_option("--memory-budget", memory_budget,
                       "Memory for the tables of a disk's images, all together; more is refused")
            ->check(CLI::Validator(size_mistake, ""))
            ->default_str("256M");
    }

    CLI::Option* add_directories(const std::string& name, std::vector<std::string>& directories,
                                 const std::string& what) {
        return app.add_option(name, directories, what)
            ->delimiter(',')
            ->transform(CLI::Validator(
                [](std::string& path) {
                    path = trim_directory(path);
                    return require_absolute(path);
                },
                ""))
            ->type_name("DIRECTORY[,DIRECTORY]");
    }

    void parse_line(const std::string& path, const ConfigLine& line) {
        const std::string where = path + ':' + std::to_string(line.number) + ": ";
        const CLI::Option* const option = app.get_option_no_throw("--" + line.key);
        if (option == nullptr || line.key == "config" || line.key == "help" || line.key == "version") {
            throw std::runtime_error(where + line.key + ": no such key");
        }
        try {
            app.parse(std::vector<std::string>{"--" + line.key + '=' + line.value});
        } catch (const CLI::ParseError& error) {
            const std::string text = error.what();
            throw std::runtime_error(where + (text.starts_with("--") ? text.substr(2) : line.key + ": " + text));
        }
    }
};

/// The tapdisk of the same build or installation.
std::string default_tapdisk() {
    std::error_code error;
    const auto own = std::filesystem::read_symlink("/proc/self/exe", error);
    if (!error) {
        const std::string beside = own.parent_path() / "tapdisk";
        if (::access(beside.c_str(), X_OK) == 0) return beside;
    }
    return installed::tapdisk;
}

void complete(Parser& parser) {
    Options& options = parser.options;
    if (options.image_directories.empty()) options.image_directories.emplace_back("/");
    if (!parser.memory_budget.empty()) options.memory_budget_bytes = parse_size(parser.memory_budget).value();
    if (options.control_group == "none" || options.sandbox == Options::Sandbox::off) options.control_group.clear();
    if (parser.syslog) options.sink = log::Sink::syslog;
    if (options.tapdisk.empty()) options.tapdisk = default_tapdisk();
    if (::access(options.tapdisk.c_str(), X_OK) != 0) {
        throw_system_error(options.tapdisk + ": cannot run tapdisk, which --tapdisk names");
    }
}

}  // namespace

std::optional<Options> parse_options(int argument_count, const char* const* arguments, int& exit_status,
                                     const char* default_config) {
    try {
        Parser parser;
        // Parsed twice: first for --config and for errors, then to overrule the file.
        parser.app.parse(argument_count, arguments);
        const bool named = !parser.config.empty();
        const std::string config = named                       ? parser.config
                                   : default_config != nullptr ? default_config
                                                               : installed::config_file;
        Parser result;
        for (const ConfigLine& line : read_config(config, named ? Absent::is_error : Absent::is_empty))
            result.parse_line(config, line);
        result.app.parse(argument_count, arguments);
        complete(result);
        return result.options;
    } catch (const CLI::ParseError& error) {
        exit_status = Parser{}.app.exit(error) == 0 ? 0 : 2;
    } catch (const std::exception& error) {
        std::cerr << "tapback: " << error.what() << '\n';
        exit_status = 2;
    }
    return std::nullopt;
}

std::vector<std::string> tapdisk_command(const Options& options) {
    std::vector<std::string> command{options.tapdisk, "--poll-us=" + std::to_string(options.poll_us),
                                     "--aio-slots=" + std::to_string(options.aio_slots),
                                     "--memory-budget=" + std::to_string(options.memory_budget_bytes)};
    for (const auto& [name, level] : levels) {
        if (level == options.level) command.push_back("--log-level=" + name);
    }
    if (options.sink == log::Sink::syslog) command.emplace_back("--syslog");
    command.push_back("--sandbox=" + sandbox_name(options.sandbox));
    return command;
}

std::string sandbox_name(Options::Sandbox sandbox) {
    for (const auto& [name, value] : sandboxes)
        if (value == sandbox) return name;
    return {};
}

}  // namespace blktap::tapback
