// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/control/host/control_host.hpp"

#include <algorithm>
#include <csignal>
#include <exception>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "libblktap/base/error.hpp"
#include "tests/support/catch.hpp"

namespace blktap::control_test {
namespace {

using namespace std::chrono_literals;

constexpr const char* unbind_file = "sysfs/bus/xen-backend/drivers/vbd/unbind";

}  // namespace

// Images are beside the programs: /tmp may be a file system that cannot do direct I/O.
ControlHost::ControlHost() : directory_(BLKTAP_BIN_DIR) {
    warden_ = testing::Process({WORLD_WARDEN, world_.directory(), path("")}, {.reads_pipe = true, .outlives_us = true});
    warden_.wait(10s);  // its first process ends at once
    std::filesystem::create_directories(path("sysfs/bus/xen-backend/drivers/vbd"));
    std::ofstream(path(unbind_file)).flush();
    configure("# all defaults\n");
    start_tapback();
}

ControlHost::~ControlHost() {
    if (std::uncaught_exceptions() == 0) check_nothing_left();
    tapback_.kill();
    end_processes_of(world_.directory());
}

void ControlHost::configure(const std::string& text) const {
    std::ofstream(path("tapdisk.conf")) << text;
}

std::vector<std::string> ControlHost::tapback_command() const {
    return {tapback_program_, "--run-directory",    run_directory(), "--tapdisk", tapdisk_,
            "--config",       path("tapdisk.conf"), "--log-level",   "debug"};
}

// A child of the last tapback that was killed before it became a tapdisk holds the socket for a moment: as systemd
// does, one that ends at once is started again.
void ControlHost::start_tapback() {
    constexpr int tries = 10;
    for (int i = 0; i < tries; ++i)
        if (try_tapback()) return;
    throw std::runtime_error("tapback does not start: " + log());
}

bool ControlHost::try_tapback() {
    std::vector<std::string> variables = environment(0);
    variables.insert(variables.end(), tapback_environment_.begin(), tapback_environment_.end());
    std::vector<std::string> command = runner_;
    const auto own = tapback_command();
    command.insert(command.end(), own.begin(), own.end());
    tapback_ = testing::Process(command, {.environment = variables, .output = path("log"), .outlives_us = true});
    const MonotonicClock clock;
    bool answers = false;
    std::optional<Nanoseconds> refuses_since;
    const auto is_known = [&] {
        try {
            answers = call("status").error_code.empty();
        } catch (const std::system_error& error) {
            if (error.code() == Errc::peer_closed && !refuses_since) refuses_since = clock.now();
        }
        return answers || !tapback_.running() || (refuses_since && clock.now() - *refuses_since > 1s);
    };
    return testing::wait_until(is_known) && answers && tapback_.running();
}

void ControlHost::kill_tapback() {
    tapback_.kill();
}

int ControlHost::stop_tapback() {
    tapback_.signal(SIGTERM);
    const auto status = tapback_.wait(20s);
    if (!status) throw std::runtime_error("tapback does not end when asked: " + log());
    return *status;
}

void ControlHost::replace_tapback() {
    const std::lock_guard lock{mutex_};
    kill_tapback();
    start_tapback();
}

ipc::Reply ControlHost::call(const std::string& request, const ipc::Json& arguments) const {
    ipc::Channel channel(ipc::MessageSocket::connect_to(run_directory() + "/tapback.sock"));
    return channel.call(request, arguments);
}

ipc::Json ControlHost::entry(std::uint16_t domain, std::uint32_t device) const {
    const ipc::Reply reply = call("info", {{"domain", domain}, {"device", device}});
    return reply.error_code.empty() ? reply.result : ipc::Json();
}

void ControlHost::reopen_store() {
    store_.reset();
    store_.emplace();
}

std::vector<std::string> ControlHost::environment(std::uint16_t domain) const {
    std::vector<std::string> variables = world_.environment(domain);
    variables.push_back("LD_PRELOAD=" BLKTAP_LIB_DIR "/libfakexen.so");
    variables.push_back("TAPDISK_SYSFS=" + path("sysfs"));
    variables.push_back("TAPBACK_SOCKET=" + run_directory() + "/tapback.sock");
    // libxenstore 4.17 loses the body of an event of a watch that is taken away.
    variables.push_back("LSAN_OPTIONS=suppressions=" BLKTAP_SOURCE_DIR "/tests/control/leaks.txt:print_suppressions=0");
    return variables;
}

std::string ControlHost::make_image(const std::string& name, std::uint64_t size_bytes) const {
    return directory_.make_file(name, size_bytes);
}

std::vector<pid_t> ControlHost::processes_named(const std::string& name) const {
    std::vector<pid_t> found;
    for (const WorldProcess& process : processes_of(world_.directory()))
        if (process.name == name) found.push_back(process.pid);
    return found;
}

std::vector<pid_t> ControlHost::tapdisks() const {
    return processes_named("tapdisk");
}

std::vector<pid_t> ControlHost::storage_processes() const {
    return processes_named("tapback-storage");
}

bool ControlHost::holds(const std::string& path) const {
    const auto processes = storage_processes();
    return std::ranges::any_of(processes, [&](pid_t pid) { return has_open(pid, path); });
}

std::vector<std::string> ControlHost::leftovers() const {
    std::vector<std::string> found;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(run_directory(), ignored)) {
        const std::string name = entry.path().filename();
        if (!entry.is_directory() && !name.starts_with("tapback.")) found.push_back(name);
    }
    return found;
}

std::string ControlHost::log() const {
    constexpr std::size_t end_bytes = 6000;
    const std::string all = testing::read_file(directory_.path("log"));
    return all.substr(all.size() - std::min(all.size(), end_bytes));
}

std::size_t ControlHost::logged(const std::string& text) const {
    std::istringstream all(testing::read_file(directory_.path("log")));
    std::size_t count = 0;
    for (std::string line; std::getline(all, line);)
        count += line.find(text) != std::string::npos ? 1 : 0;
    return count;
}

std::string ControlHost::take_unbound() const {
    std::string unbound = testing::read_file(path(unbind_file));
    std::filesystem::resize_file(path(unbind_file), 0);
    return unbound;
}

void ControlHost::check_nothing_left() {
    INFO("tapback's log:\n" << log());
    // A tapdisk's end is waited for by tapback, not by the toolstack.
    CHECK(testing::wait_until([this] { return tapdisks().empty(); }, 10s));
    CHECK(testing::wait_until([this] { return leftovers().empty(); }, 10s));
    CHECK(leftovers() == std::vector<std::string>{});
    // One is left that starts others.
    CHECK(testing::wait_until([this] { return storage_processes().size() <= 1; }, 10s));
    CHECK(tapback_.running());
    CHECK(stop_tapback() == 0);
    CHECK(testing::wait_until([this] { return storage_processes().empty(); }, 10s));
    CHECK_FALSE(std::filesystem::exists(run_directory() + "/tapback.sock"));
    CHECK(world_.pages_mapped_by(0) == 0);
    CHECK(world_.ports_of(0) == 0);
    for (const char* kind : {"backend/vbd", "backend/vbd3"})
        for (const std::string& domain : store_->list(kind))
            CHECK(store_->list(std::string(kind) + '/' + domain) == std::vector<std::string>{});
}

}  // namespace blktap::control_test
