// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// CLI11 prints help and usage errors itself; its many exit codes become our one for usage.
#include "tests/replay/command_line.hpp"

#include <cstdio>
#include <unistd.h>

#include "tests/replay/command_options.hpp"
#include "tests/replay/interrupt.hpp"

namespace blktap::replay {
namespace {

constexpr const char* description =
    "A guest without a guest: plays generated, scripted or recorded ring traffic against a backend and checks the\n"
    "answers. Exit status: 0 okay, 1 the backend did something wrong, 2 the test could not be made.";

constexpr const char* footer =
    "Record what a guest does, look at it, and play it again on a copy of the disk:\n"
    "  ring-replay record --tapdisk /run/tapdisk/3-51712.sock --output boot.trace --seconds 60\n"
    "  ring-replay trace boot.trace --print\n"
    "  ring-replay trace boot.trace --tapdisk /run/copy.sock --speed full\n"
    "Be the guest of a disk that a toolstack attached, in that guest:\n"
    "  ring-replay load --xenstore /local/domain/7/device/vbd/51712 --mix mixed --verify\n"
    "'ring-replay COMMAND --help' has each command's options; for script, the language too.";

Exit report(const std::exception& error, Exit status) {
    // A progress line may stand there.
    if (::isatty(STDERR_FILENO) != 0) std::fputs("\r\033[K", stderr);
    std::fprintf(stderr, "ring-replay: %s\n", error.what());
    return status;
}

}  // namespace

Exit run_command_line(int argc, const char* const* argv) {
    try {
        CLI::App app{description, "ring-replay"};
        CommandOptions options;
        add_commands(app, options);
        app.footer(footer);  // last: commands would inherit it
        try {
            app.parse(argc, argv);
        } catch (const CLI::ParseError& error) {
            return app.exit(error) == 0 ? Exit::okay : Exit::usage;
        }
        const Interrupt interrupt;
        options.target.interrupt_fd = options.record.interrupt_fd = interrupt.fd();
        return options.run();
    } catch (const Failure& failure) {
        return report(failure, Exit::failed);
    } catch (const std::exception& error) {
        return report(error, Exit::usage);
    }
}

}  // namespace blktap::replay
