// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// tapdisk: serves one Xen virtual block device. This file wires the parts together and waits for the end.
#include <fcntl.h>
#include <filesystem>
#include <iostream>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "drivers/registry.hpp"
#include "libblktap/base/boot_id.hpp"
#include "libblktap/base/log.hpp"
#include "libblktap/base/signals.hpp"
#include "libblktap/files/local_image_opener.hpp"
#include "tapdisk/control_server.hpp"
#include "tapdisk/host_memory.hpp"
#include "tapdisk/options.hpp"

namespace blktap {
namespace {

void make_parent_directory(const std::string& path) {
    const auto parent = std::filesystem::path(path).parent_path();
    if (parent.empty() || std::filesystem::exists(parent)) return;
    if (::mkdir(parent.c_str(), 0700) != 0 && errno != EEXIST) throw_system_error("directory " + parent.string());
}

/// Sends the starter the reason why this process cannot start: standard error may be a log that nobody reads.
void tell_starter(UniqueFd& starter, const std::exception& error) noexcept {
    if (!starter) return;
    try {
        const auto* const reason = dynamic_cast<const std::system_error*>(&error);
        ipc::Channel channel{ipc::MessageSocket(std::move(starter))};
        channel.reply_bad_message(
            reason != nullptr ? *reason
                              : std::system_error(std::make_error_code(std::errc::not_enough_memory), error.what()));
    } catch (const std::exception&) {
        // The starter is gone, or does not read.
    }
}

/// Opens the image of the command line. Errors: throws std::system_error.
void open_image(EventLoop& loop, Vbd& vbd, const ImageSpec& image) {
    bool over = false;
    std::optional<std::system_error> failed;
    vbd.open(image, std::make_unique<LocalImageOpener>(), [&](const std::system_error* error) {
        over = true;
        if (error != nullptr) failed.emplace(*error);
    });
    while (!over)
        loop.run_once();
    if (failed) throw *failed;
}

/// Errors: throws std::system_error.
std::unique_ptr<ipc::MessageListener> listen(const Options& options) {
    if (options.listen_fd) return std::make_unique<ipc::MessageListener>(UniqueFd(*options.listen_fd));
    make_parent_directory(options.control_path);
    return std::make_unique<ipc::MessageListener>(options.control_path);
}

/// Gives up what serving a disk does not need, after opening and reading what it does. Returns what people are told.
/// Errors: throws std::system_error: this process must end.
std::string confine(const Options& options, Vbd& vbd, ipc::MessageListener& listener) {
    if (options.sandbox == sandbox::Mode::off) return sandbox::describe(options.sandbox, {});
    boot_id();
    vbd.xen_handles().open_the_only_ones();
    log::keep_open();
    listener.leave_path();
    const UniqueFd network(options.network_fd.value_or(-1));
    const UniqueFd group(options.group_fd.value_or(-1));
    sandbox::Orders orders{options.sandbox, std::nullopt, network.get(), group.get()};
    if (::geteuid() == 0) orders.user = sandbox::user_of(options.first_user, sandbox::host_pid());
    return sandbox::describe(options.sandbox, sandbox::enter(orders));
}

/// Returns the exit status: 0, or 1 if the last flush failed. Closes `starter` once tapdisk has started.
int serve(const Options& options, UniqueFd& starter) {
    const UniqueFd signals = open_end_signals();
    const MonotonicClock clock;
    EventLoop loop(clock);
    LinuxAioKernel kernel;
    const Registry drivers = all_drivers();

    Vbd::Options vbd_options;
    vbd_options.disk.aio_slots = options.aio_slots;
    vbd_options.poll_max = std::chrono::microseconds(options.poll_us);
    vbd_options.disk.memory_budget_bytes = options.memory_budget_bytes;
    if (options.recovery_log_path) {
        vbd_options.make_log_file = [path = *options.recovery_log_path] { return open_log_file(path); };
    }
    Vbd vbd(loop, kernel, drivers, vbd_options);
    loop.set_turn([&vbd] { return vbd.turn(); });
    if (options.image) open_image(loop, vbd, *options.image);
    const auto listener = listen(options);
    const int pid = sandbox::host_pid();
    const std::string confined = confine(options, vbd, *listener);
    ControlServer server(loop, vbd, *listener, {pid, confined});

    int exit_status = 0;
    if (options.client_fd) {
        server.add_client(ipc::MessageSocket(UniqueFd(*options.client_fd)), [&] {
            // The starter is gone, and nobody else knows of a tapdisk without an image.
            if (vbd.state() == Vbd::State::closed) vbd.shut_down([&](std::error_code) { loop.stop(); });
        });
    }
    const EventLoop::Watch end(loop, signals.get(), EPOLLIN, [&](std::uint32_t) {
        signalfd_siginfo signal{};
        if (::read(signals.get(), &signal, sizeof signal) != sizeof signal) return;
        log::info("stop", {{"signal", std::to_string(signal.ssi_signo)}});
        vbd.shut_down([&](std::error_code error) {
            if (error) exit_status = 1;
            loop.stop();
        });
    });
    log::info("ready", {{"control", options.control_path}, {"pid", std::to_string(pid)}, {"sandbox", confined}});
    starter.reset();
    loop.run();
    return exit_status;
}

}  // namespace
}  // namespace blktap

int main(int argument_count, char** arguments) {
    int exit_status = 0;
    const auto options = blktap::parse_options(argument_count, arguments, exit_status);
    if (!options) return exit_status;
    // A duplicate: the control server owns the other descriptor, and closes it if it cannot serve.
    blktap::UniqueFd starter;
    if (options->client_fd) starter.reset(::fcntl(*options->client_fd, F_DUPFD_CLOEXEC, 0));
    try {
        blktap::log::configure("tapdisk", options->level, options->sink);
        blktap::claim_host_memory(options->sandbox == blktap::sandbox::Mode::off ? blktap::Rights::stay
                                                                                 : blktap::Rights::go);
        return blktap::serve(*options, starter);
    } catch (const std::exception& error) {
        std::cerr << "tapdisk: " << error.what() << '\n';
        blktap::tell_starter(starter, error);
        return 1;
    }
}
