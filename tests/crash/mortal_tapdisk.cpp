// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/crash/mortal_tapdisk.hpp"

#include <csignal>
#include <fcntl.h>
#include <stdexcept>

#include "tapdisk/ring/recovery_log.hpp"
#include "tests/replay/failure.hpp"
#include "tests/support/places.hpp"

namespace blktap::testing {
namespace {

using namespace std::chrono_literals;

UniqueFd duplicate(int fd) {
    UniqueFd copy{::fcntl(fd, F_DUPFD_CLOEXEC, 0)};
    if (!copy) throw_system_error("a descriptor");
    return copy;
}

}  // namespace

MortalTapdisk::MortalTapdisk(const fakexen::World& world, const TemporaryDirectory& directory, ipc::OpenArguments image)
    : world_(world),
      image_(std::move(image)),
      socket_(directory.path("control")),
      log_path_(directory.path("recovery")),
      output_(directory.path("tapdisk.log")) {
    start();
}

void MortalTapdisk::start() {
    std::vector<std::string> environment = world_.environment(0);
    environment.emplace_back("LD_PRELOAD=" BLKTAP_LIB_DIR "/libfakexen.so");
    process_ = Process({BLKTAP_BIN_DIR "/tapdisk", "--control", socket_, "--recovery-log", log_path_},
                       {.environment = environment, .output = output_});
    std::optional<ipc::MessageSocket> socket;
    const bool connected = wait_until([&] {
        try {
            socket.emplace(ipc::MessageSocket::connect_to(socket_));
        } catch (const std::system_error&) {
            return !process_.running();
        }
        return true;
    });
    if (!connected || !socket) throw std::runtime_error("no tapdisk: " + output());
    channel_.emplace(std::move(*socket));
}

replay::Connected MortalTapdisk::connect(const ipc::ConnectArguments& rings, const std::vector<int>& descriptors) {
    rings_ = rings;
    replay::call_or_throw(*channel_, socket_, ipc::Open{image_});
    if (rings.local) memory_ = duplicate(descriptors.front());
    ipc::Reply reply = replay::call_or_throw(*channel_, socket_, ipc::Connect{rings_}, descriptors);
    device_ = reply.result.get<ipc::DeviceDescription>();
    return {device_, std::move(reply.descriptors)};
}

void MortalTapdisk::disconnect() {
    replay::call_or_throw(*channel_, socket_, ipc::Disconnect{});
}

bool MortalTapdisk::check() {
    try {
        replay::answer_requests(*channel_, socket_);
    } catch (const replay::BackendGone&) {
        succeed();
    }
    return true;
}

/// The next one may be killed in the middle of this, too.
void MortalTapdisk::succeed() {
    for (;;) {
        if (process_.wait(20s) != 128 + SIGKILL) throw std::runtime_error("tapdisk ended by itself: " + output());
        start();
        ++successors_;
        try {
            replay::call_or_throw(*channel_, socket_, ipc::Recover{image_, device_});
            const UniqueFd log = open_log_file(log_path_);
            std::vector<int> descriptors{log.get()};
            if (memory_) descriptors.insert(descriptors.begin(), memory_.get());
            ipc::Reply reply = replay::call_or_throw(*channel_, socket_, ipc::Adopt{rings_}, descriptors);
            if (memory_) frontend_->connected(std::move(reply.descriptors));
            replay::call_or_throw(*channel_, socket_, ipc::Resume{});
            const ipc::Reply stats = replay::call_or_throw(*channel_, socket_, ipc::Stats{});
            adopted_ += stats.result.at("connection").at("adopted").get<std::uint64_t>();
            return;
        } catch (const replay::BackendGone&) {
        }
    }
}

std::optional<int> MortalTapdisk::end() {
    process_.signal(SIGTERM);
    return process_.wait(20s);
}

}  // namespace blktap::testing
