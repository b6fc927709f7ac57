// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/attack/victim.hpp"

#include <csignal>
#include <filesystem>

#include "tests/support/places.hpp"
#include "tests/support/sanitized.hpp"

namespace blktap::attack {
namespace {

using namespace std::chrono_literals;

constexpr auto controller_limit = 20s;  // a drain takes 3 s; the rest is for a busy machine
constexpr std::size_t handles_max = 8;
constexpr std::uint64_t memory_max_kib = testing::sanitizer_factor * 160 * 1024;
constexpr std::uintmax_t log_bytes_max = 64 * 1024;  // of one conversation

}  // namespace

Victim::Victim(const fakexen::World& world, const VictimOptions& options)
    : world_(world),
      size_bytes_(options.size_bytes),
      directory_(BLKTAP_BIN_DIR),
      socket_(directory_.path("socket")),
      image_(directory_.path("image")) {
    if (options.format == "raw") {
        directory_.make_file("image", options.size_bytes);
    } else if (testing::run({BLKTAP_BIN_DIR "/tap-ctl", "image", "create", options.format + ':' + image_, "--size",
                             std::to_string(options.size_bytes)},
                            {.output = directory_.path("created")}, 60s) != 0) {
        throw Finding(testing::read_file(directory_.path("created")));
    }
    image_.insert(0, options.format + ':');
    std::vector<std::string> environment = world.environment(0);
    environment.push_back("LD_PRELOAD=" BLKTAP_LIB_DIR "/libfakexen.so");
    process_ = testing::Process({options.program, "--open", image_, "--control", socket_},
                                {.environment = environment, .output = directory_.path("log")});
    if (!testing::wait_until([&] { return std::filesystem::exists(socket_) || !process_.running(); }, controller_limit))
        throw Finding("the tapdisk does not start");
    channel_.emplace(new_client());
    call("stats");
    usual_descriptors_ = testing::descriptors_of(process_.pid());
}

ipc::Channel Victim::new_client() const {
    try {
        return ipc::Channel(ipc::MessageSocket::connect_to(socket_));
    } catch (const std::system_error& error) {
        throw Finding(std::string("the tapdisk takes no client: ") + error.what());
    }
}

std::string Victim::death() {
    const auto status = process_.wait(Nanoseconds{0});
    if (!status) return "";
    const std::string log = testing::read_file(directory_.path("log"));
    return "the tapdisk has ended with status " + std::to_string(*status) + ":\n" +
           log.substr(log.size() > 4000 ? log.size() - 4000 : 0);
}

ipc::Reply Victim::call(const std::string& request, const ipc::Json& arguments, const std::vector<int>& descriptors) {
    try {
        return channel_->call(request, arguments, descriptors, controller_limit);
    } catch (const std::system_error& error) {
        std::string ended;
        testing::wait_until([&] { return !(ended = death()).empty(); }, 2s);
        throw Finding(request + ": " + error.what() + "; " + ended);
    }
}

void Victim::check() {
    if (const std::string how = death(); !how.empty()) throw Finding(how);
    if (const auto kib = testing::resident_kib_of(process_.pid()); kib > memory_max_kib)
        throw Finding("the tapdisk has " + std::to_string(kib) + " KiB of memory");
    const std::uintmax_t bytes = std::filesystem::file_size(directory_.path("log"));
    if (bytes - log_bytes_ > log_bytes_max)
        throw Finding("one conversation made " + std::to_string(bytes - log_bytes_) + " bytes of log");
    log_bytes_ = bytes;
}

void Victim::check_nothing_left() const {
    if (const auto pages = world_.pages_mapped_by(0); pages != 0)
        throw Finding(std::to_string(pages) + " pages of the guest are mapped after its end");
    if (const auto ports = world_.ports_of(0); ports != 0)
        throw Finding(std::to_string(ports) + " event channels are bound after the guest's end");
    // Handles of Xen stay. The descriptors of a client that hung up are closed in the turn after.
    if (!testing::wait_until(
            [&] { return testing::descriptors_of(process_.pid()) <= usual_descriptors_ + handles_max; },
            controller_limit))
        throw Finding("the tapdisk has " + std::to_string(testing::descriptors_of(process_.pid())) + " descriptors, " +
                      std::to_string(usual_descriptors_) + " at its start");
}

void Victim::end() {
    process_.signal(SIGTERM);
    const auto status = process_.wait(controller_limit);
    if (!status) throw Finding("the tapdisk does not end");
    if (*status != 0) throw Finding(death());
    if (image_.starts_with("raw:")) {
        const std::uintmax_t size = std::filesystem::file_size(directory_.path("image"));
        if (size != size_bytes_) throw Finding("the image has another size: " + std::to_string(size));
        return;
    }
    if (testing::run({BLKTAP_BIN_DIR "/tap-ctl", "image", "check", image_}, {.output = directory_.path("checked")},
                     60s) != 0)
        throw Finding("the image is damaged: " + testing::read_file(directory_.path("checked")));
}

}  // namespace blktap::attack
