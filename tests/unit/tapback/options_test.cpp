// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/config/options.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <sys/stat.h>

#include "tests/support/catch.hpp"
#include "tests/support/places.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/unit/base/captured_stderr.hpp"

using namespace blktap;
using namespace blktap::testing;
using blktap::tapback::Options;

namespace {

using Words = std::vector<std::string>;

struct Parsed {
    std::optional<Options> options;
    int exit_status = 0;
    std::string complaint;
};

/// A configuration file, and tapback started with it.
struct Command {
    explicit Command(const std::string& config_text = "") {
        std::ofstream{config} << config_text;
        std::ofstream{tapdisk} << "#!/bin/true\n";
        REQUIRE(::chmod(tapdisk.c_str(), 0700) == 0);
    }

    /// tapback's words; the file is the default one unless they name another.
    Parsed parse(Words words = {}, const char* default_config = nullptr) const {
        words.insert(words.begin(), {"tapback", "--tapdisk", tapdisk});
        std::vector<const char*> arguments;
        for (const std::string& word : words)
            arguments.push_back(word.c_str());
        const CapturedStderr captured;
        Parsed parsed;
        parsed.options =
            tapback::parse_options(static_cast<int>(arguments.size()), arguments.data(), parsed.exit_status,
                                   default_config != nullptr ? default_config : config.c_str());
        parsed.complaint = captured.text();
        return parsed;
    }

    Options options(Words words = {}) const {
        Parsed parsed = parse(std::move(words));
        INFO(parsed.complaint);
        REQUIRE(parsed.options);
        return std::move(*parsed.options);
    }

    TemporaryDirectory directory{};
    std::string config = directory.path("tapdisk.conf");
    std::string tapdisk = directory.path("tapdisk");
};

/// One line on stderr, and the exit status of a wrong command line.
std::string complaint(const Parsed& parsed) {
    CHECK_FALSE(parsed.options);
    CHECK(parsed.exit_status == 2);
    return parsed.complaint;
}

std::string complaint_about(const std::string& config_text) {
    const Command command{config_text};
    const std::string text = complaint(command.parse());
    const std::string begin = "tapback: " + command.config;
    CHECK_THAT(text, Catch::StartsWith(begin));
    CHECK(std::count(text.begin(), text.end(), '\n') == 1);
    return text.substr(std::min(begin.size(), text.size()));
}

}  // namespace

TEST_CASE("tapback's options: without any, every image may be opened", "[unit][tapback]") {
    const Command command;
    const Options options = command.options();
    CHECK(options.run_directory == "/run/tapdisk");
    CHECK(options.tapdisk == command.tapdisk);
    CHECK(options.image_directories == Words{"/"});
    CHECK(options.backing_directories.empty());
    CHECK(options.level == log::Level::info);
    CHECK(options.sink == log::Sink::standard_error);
    CHECK(options.poll_us == 0);  // what a host that nobody measured pays for polling: docs/decisions/0010
    CHECK(options.aio_slots == IoQueue::default_slots);
    CHECK(options.memory_budget_bytes == 256U << 20);
}

TEST_CASE("tapback's options: a file may set all of them", "[unit][tapback]") {
    const Command command{
        "# comment\n\n"
        "run-directory=/run/other\n"
        "  image-directories = /srv/xen, /a directory ,/dev  \n"
        "backing-directories = /srv/golden, /dev\n"
        "\tlog-level = debug\n"
        "syslog = yes\n"
        "poll-us = 70\n"
        "aio-slots = 128"};
    const Options options = command.options();
    CHECK(options.run_directory == "/run/other");
    CHECK(options.image_directories == Words{"/srv/xen", "/a directory", "/dev"});
    CHECK(options.backing_directories == Words{"/srv/golden", "/dev"});
    CHECK(options.level == log::Level::debug);
    CHECK(options.sink == log::Sink::syslog);
    CHECK(options.poll_us == 70);
    CHECK(options.aio_slots == 128);
}

TEST_CASE("tapback's options: control groups of tapdisks are where systemd makes them, elsewhere, or nowhere",
          "[unit][tapback]") {
    CHECK(Command{}.options().control_group == "/sys/fs/cgroup/system.slice/tapdisks.service");
    CHECK(Command{"control-group = /sys/fs/cgroup/disks\n"}.options().control_group == "/sys/fs/cgroup/disks");
    CHECK(Command{"sandbox = off\n"}.options().control_group.empty());
    CHECK(Command{"control-group = none\n"}.options().control_group.empty());
    CHECK_THAT(complaint_about("control-group = disks\n"), Catch::Contains("control-group"));
}

TEST_CASE("tapback's options: the command line overrules the file", "[unit][tapback]") {
    const Command command{"poll-us = 50\nimage-directories = /srv\nsyslog = yes\nlog-level = debug\n"};
    const Options options =
        command.options({"--poll-us", "7", "--image-directories", "/data,/dev", "--syslog=no", "--log-level", "error"});
    CHECK(options.poll_us == 7);
    CHECK(options.image_directories == Words{"/data", "/dev"});
    CHECK(options.sink == log::Sink::standard_error);
    CHECK(options.level == log::Level::error);
    CHECK(command.options({"--poll-us=7"}).image_directories == Words{"/srv"});
}

TEST_CASE("tapback's options: a file that is named must exist, the default one need not", "[unit][tapback]") {
    const Command command{"poll-us = 7\n"};
    const std::string absent = command.directory.path("absent");
    const auto without = command.parse({}, absent.c_str());
    REQUIRE(without.options);
    CHECK(without.options->poll_us == default_poll_us);
    CHECK_THAT(complaint(command.parse({"--config", absent})), Catch::StartsWith("tapback: " + absent + ": No such"));
    const auto named = command.parse({"--config", command.config}, absent.c_str());
    REQUIRE(named.options);
    CHECK(named.options->poll_us == 7);
}

TEST_CASE("tapback's options: a mistake in the file is named with its line and key", "[unit][tapback]") {
    CHECK_THAT(complaint_about("\npol-us = 50\n"), Catch::StartsWith(":2: pol-us: no such key"));
    CHECK_THAT(complaint_about("poll-us = 1001\n"), Catch::StartsWith(":1: poll-us: ") && Catch::Contains("1001"));
    CHECK_THAT(complaint_about("poll-us = many\n"), Catch::StartsWith(":1: ") && Catch::Contains("poll-us"));
    CHECK_THAT(complaint_about("# a\n# b\nlog-level = loud\n"), Catch::StartsWith(":3: log-level: "));
    CHECK_THAT(complaint_about("syslog = perhaps\n"), Catch::StartsWith(":1: ") && Catch::Contains("syslog"));
    CHECK_THAT(complaint_about("memory-budget = much\n"),
               Catch::StartsWith(":1: memory-budget: much: not a size such as"));
    CHECK_THAT(complaint_about("backing-directories = bases\n"),
               Catch::StartsWith(":1: backing-directories: bases: not an absolute path"));
    CHECK_THAT(complaint_about("image-directories = /srv, data\n"),
               Catch::StartsWith(":1: image-directories: data: not an absolute path"));
    CHECK_THAT(complaint_about("run-directory = run\n"), Catch::StartsWith(":1: run-directory: run: not an absolute"));
    CHECK_THAT(complaint_about("poll-us\n"), Catch::StartsWith(":1: not a line of the form"));
    CHECK_THAT(complaint_about("[tapback]\n"), Catch::StartsWith(":1: not a line of the form"));
    CHECK_THAT(complaint_about("poll-us = \n"), Catch::StartsWith(":1: poll-us: no value"));
    CHECK_THAT(complaint_about("poll-us = 1\n\npoll-us = 2\n"), Catch::StartsWith(":3: poll-us: is in line 1"));
    CHECK_THAT(complaint_about("config = /etc/other\n"), Catch::StartsWith(":1: config: no such key"));
    CHECK_THAT(complaint_about("help = yes\n"), Catch::StartsWith(":1: help: no such key"));
}

TEST_CASE("tapback's options: what is no configuration file is not read to its end", "[unit][tapback]") {
    const Command command;
    CHECK_THAT(complaint(command.parse({"--config", "/dev/zero"})), Catch::StartsWith("tapback: /dev/zero: "));
    CHECK_THAT(complaint(command.parse({"--config", "/"})), Catch::StartsWith("tapback: /: "));
}

TEST_CASE("tapback's options: a mistake on the command line is named", "[unit][tapback]") {
    const Command command;
    CHECK_THAT(complaint(command.parse({"--poll-us", "1001"})), Catch::Contains("--poll-us"));
    CHECK_THAT(complaint(command.parse({"--pol-us", "1"})), Catch::Contains("--pol-us"));
    CHECK_THAT(complaint(command.parse({"more"})), Catch::Contains("more"));
}

TEST_CASE("tapback's options: a tapdisk that cannot be run is found at the start", "[unit][tapback]") {
    const Command command;
    REQUIRE(::chmod(command.tapdisk.c_str(), 0600) == 0);
    CHECK_THAT(complaint(command.parse()), Catch::StartsWith("tapback: " + command.tapdisk + ": cannot run tapdisk"));
}

TEST_CASE("tapback's options: a tapdisk is told how to log, poll and queue", "[unit][tapback]") {
    const Command command{"poll-us = 50\naio-slots = 128\nmemory-budget = 1G\n"};
    CHECK(tapback::tapdisk_command(command.options({"--log-level", "warning", "--syslog"})) ==
          Words{command.tapdisk, "--poll-us=50", "--aio-slots=128", "--memory-budget=1073741824", "--log-level=warning",
                "--syslog", "--sandbox=on"});
}

TEST_CASE("tapback's options: the sample of the configuration file says what holds by default", "[unit][tapback]") {
    std::ifstream sample{BLKTAP_SOURCE_DIR "/control/tapdisk.conf"};
    std::ostringstream all;
    std::ostringstream uncommented;
    unsigned keys = 0;
    for (std::string line; std::getline(sample, line); all << line << '\n') {
        const bool key = line.size() > 1 && line[0] == '#' && line[1] != ' ';
        if (!key) continue;
        ++keys;
        uncommented << line.substr(1) << '\n';
    }
    CHECK(keys == 12);
    const Options plain = Command{all.str()}.options();
    const Options stated = Command{uncommented.str()}.options();
    CHECK(stated.run_directory == plain.run_directory);
    CHECK(stated.control_group == plain.control_group);
    CHECK(stated.level == plain.level);
    CHECK(stated.sink == plain.sink);
    CHECK(stated.poll_us == plain.poll_us);
    CHECK(stated.aio_slots == plain.aio_slots);
}

TEST_CASE("options: tapdisks have a sandbox, unless told otherwise", "[unit][tapback]") {
    const auto has = [](const Words& words, const std::string& word) {
        return std::ranges::find(words, word) != words.end();
    };
    const Words usual = tapback::tapdisk_command(Command{}.options());
    CHECK(has(usual, "--sandbox=on"));
    const Words debug = tapback::tapdisk_command(Command{"sandbox = debug\n"}.options());
    CHECK(has(debug, "--sandbox=debug"));
    const Words off = tapback::tapdisk_command(Command{"sandbox = off\n"}.options());
    CHECK(has(off, "--sandbox=off"));
    CHECK_THAT(complaint_about("sandbox = yes\n"), Catch::Contains("yes"));
}
