// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// tapback: the control daemon. This file wires the parts together and waits for the end; disks keep running.
#include <iostream>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/tapback/control_socket.hpp"
#include "control/tapback/service_manager.hpp"
#include "control/tapback/storage/storage_process.hpp"
#include "libblktap/base/signals.hpp"

namespace blktap::tapback {
namespace {

/// Raises the limit to the hard limit: each disk takes four descriptors.
void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

void make_run_directory(const std::string& path) {
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) throw_system_error(path);
}

std::unique_ptr<ipc::MessageListener> listen_alone(const std::string& path) {
    try {
        return std::make_unique<ipc::MessageListener>(path);
    } catch (const std::system_error& error) {
        if (error.code() != std::errc::address_in_use) throw;
        throw_error(error.code(), "another tapback is running: " + path);
    }
}

void serve(const Options& options) {
    const UniqueFd signals = open_end_signals();
    raise_descriptor_limit();
    make_run_directory(options.run_directory);
    const MonotonicClock clock;
    EventLoop loop(clock);
    const std::string socket_path = options.run_directory + "/tapback.sock";
    // Before anything else: a second tapback must fail here.
    const auto listener = listen_alone(socket_path);
    if (options.sandbox != Options::Sandbox::on) {
        log::warning("sandbox", {{"mode", sandbox_name(options.sandbox)},
                                 {"state", options.sandbox == Options::Sandbox::off
                                               ? "tapdisks have all rights of tapback"
                                               : "tapdisks name a forbidden system call before they end"}});
    }
    Daemon daemon(loop, options);
    const ControlSocket socket(loop, daemon, *listener);
    loop.set_turn([&daemon] { return daemon.turn(); });
    const EventLoop::Watch end(loop, signals.get(), EPOLLIN, [&](std::uint32_t) {
        signalfd_siginfo signal{};
        if (::read(signals.get(), &signal, sizeof signal) != sizeof signal) return;
        log::info("stop", {{"signal", std::to_string(signal.ssi_signo)}, {"state", "disks go on"}});
        loop.stop();
    });
    log::info("ready", {{"socket", socket_path}, {"pid", std::to_string(::getpid())}});
    notify_ready();
    loop.run();
}

}  // namespace
}  // namespace blktap::tapback

int main(int argument_count, char** arguments) {
    if (blktap::tapback::storage::is_starter(argument_count, arguments))
        return blktap::tapback::storage::run_starter(argument_count, arguments);
    int exit_status = 0;
    const auto options = blktap::tapback::parse_options(argument_count, arguments, exit_status);
    if (!options) return exit_status;
    try {
        blktap::log::configure("tapback", options->level, options->sink);
        blktap::tapback::serve(*options);
        return 0;
    } catch (const std::exception& error) {
        std::cerr << "tapback: " << error.what() << '\n';
        return 1;
    }
}
