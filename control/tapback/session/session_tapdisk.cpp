// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/session/session_tapdisk.hpp"

#include <algorithm>
#include <unistd.h>
#include <utility>

#include "control/tapback/session/tapdisk_process.hpp"

namespace blktap::tapback {
namespace {

constexpr Nanoseconds retry_delay_min = std::chrono::seconds(1);
constexpr Nanoseconds retry_delay_max = std::chrono::seconds(16);

}  // namespace

SessionEvent event_of(const ipc::DiskState& disk, bool only_reads,
                      const std::optional<ipc::DeviceDescription>& device) {
    if (disk.state == ipc::DiskState::State::closed) return SessionEvent::says_closed;
    // Xen's block-tap script opens every image for writing, and writes the disk's mode later.
    if (only_reads && device && !device->read_only && !disk.connected) return SessionEvent::says_too_open;
    return disk.state == ipc::DiskState::State::paused ? SessionEvent::says_paused : SessionEvent::says_open;
}

SessionTapdisk::SessionTapdisk(Places places, std::string usual_socket, Hooks hooks)
    : places_(std::move(places)),
      usual_socket_(std::move(usual_socket)),
      hooks_(std::move(hooks)),
      local_logs_(places_.run_directory + '/' + usual_socket_.substr(0, usual_socket_.rfind('.'))),
      retry_timer_(places_.loop, [this] { hooks_.retry(); }),
      retry_delay_(retry_delay_min) {}

SessionTapdisk::~SessionTapdisk() = default;

void SessionTapdisk::restore(const std::string& socket, const std::optional<ProcessId>& process) {
    socket_ = socket;
    process_ = process;
}

SessionTapdisk::Found SessionTapdisk::find() {
    tapdisk_ = places_.tapdisks.find(process_, socket_path(), hooks_.of_tapdisk());
    if (!tapdisk_) return Found::nothing;
    return std::exchange(process_, tapdisk_->id()) == tapdisk_->id() ? Found::recorded : Found::another;
}

void SessionTapdisk::start() {
    tapdisk_ = places_.tapdisks.start(socket_path(), hooks_.of_tapdisk());
    process_ = tapdisk_->id();
}

void SessionTapdisk::take(SessionTapdisk& from) {
    socket_ = from.socket_name();
    if (socket_ == usual_socket_) socket_.clear();
    from.socket_.clear();
    process_ = std::exchange(from.process_, std::nullopt);
    tapdisk_ = std::move(from.tapdisk_);
    from.stop_asking();
    if (tapdisk_) tapdisk_->set_hooks(hooks_.of_tapdisk());
}

void SessionTapdisk::retire() {
    stop_asking();
    ::unlink(socket_path().c_str());
    retired_ = std::move(tapdisk_);
}

void SessionTapdisk::give_logs() {
    const std::vector<UniqueFd> files = local_logs_.make();
    if (files.empty()) return;
    // A tapdisk that is older than the message has local rings that end with it.
    tapdisk_->call(ipc::GiveLogs{}, numbers_of(files), [](const ipc::Reply&) {});
}

void SessionTapdisk::ask_later() {
    retry_timer_.arm(retry_delay_);
    retry_delay_ = std::min(retry_delay_ * 2, retry_delay_max);
}

void SessionTapdisk::answered() noexcept {
    retry_delay_ = retry_delay_min;
}

}  // namespace blktap::tapback
