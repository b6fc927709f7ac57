// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/control_socket.hpp"

namespace blktap::tapback {
namespace {

Daemon::Done done_of(const ipc::Call& call) {
    return [answer = call.answer](const ipc::Reply& reply) { answer.pass_on(reply); };
}

}  // namespace

struct ControlSocket::Handlers {
    Daemon& daemon;

    // Scripts that add and remove disks.

    void operator()(const ipc::Claim& message, ipc::Call& call) { daemon.claim(message.backend, done_of(call)); }
    void operator()(const ipc::Attach& message, ipc::Call& call) { daemon.attach(message, done_of(call)); }
    void operator()(const ipc::Detach& message, ipc::Call& call) { daemon.detach(message.backend, done_of(call)); }
    ipc::OwnerResult operator()(const ipc::Owner& message, ipc::Call&) { return {daemon.owns(message.backend)}; }

    // Operators.

    ipc::ListResult operator()(const ipc::List& message, ipc::Call&) { return daemon.list(message.after); }
    ipc::StatusResult operator()(const ipc::Status&, ipc::Call&) { return daemon.status(); }
    ipc::Nothing operator()(const ipc::LogLevel& message, ipc::Call&) {
        log::set_level(message.level);
        return {};
    }
    ipc::VbdEntry operator()(const ipc::Info& message, ipc::Call&) { return daemon.vbd(message).entry(true); }
    void operator()(const ipc::VbdStats& message, ipc::Call& call) {
        daemon.vbd(message).image().call(ipc::Stats{}, {}, done_of(call));
    }
    void operator()(const ipc::VbdAbout& message, ipc::Call& call) {
        daemon.vbd(message).image().call(ipc::About{}, {}, done_of(call));
    }
    void operator()(const ipc::VbdPause& message, ipc::Call& call) { daemon.vbd(message).image().pause(done_of(call)); }
    void operator()(const ipc::VbdRecover& message, ipc::Call& call) {
        daemon.vbd(message).image().recover(done_of(call));
    }
    void operator()(const ipc::VbdUpgrade& message, ipc::Call& call) {
        daemon.vbd(message).image().upgrade(done_of(call));
    }
    void operator()(const ipc::VbdResume& message, ipc::Call& call) {
        daemon.vbd(message.vbd).image().resume(message, done_of(call));
    }
    void operator()(const ipc::VbdRecording& message, ipc::Call& call) {
        std::vector<int> descriptors;
        for (const UniqueFd& fd : call.descriptors)
            descriptors.push_back(fd.get());
        daemon.vbd(message.vbd).image().call(ipc::Record{message.start}, descriptors, done_of(call));
    }
    void operator()(const ipc::VbdResize& message, ipc::Call& call) {
        daemon.vbd(message.vbd).image().resize(message.size_bytes, done_of(call));
    }
    void operator()(const ipc::Plug& message, ipc::Call& call) { daemon.plug(message, done_of(call)); }
    void operator()(const ipc::Unplug& message, ipc::Call& call) { daemon.unplug(message, done_of(call)); }

    // Xen's block-tap script.

    ipc::TapMinor operator()(const ipc::TapAllocate&, ipc::Call&) { return daemon.taps().allocate(); }
    ipc::TapPid operator()(const ipc::TapSpawn&, ipc::Call&) { return daemon.taps().spawn(); }
    ipc::Nothing operator()(const ipc::TapAttach& message, ipc::Call&) {
        daemon.taps().attach(message);
        return {};
    }
    void operator()(const ipc::TapOpen& message, ipc::Call& call) { daemon.taps().open(message, done_of(call)); }
    void operator()(const ipc::TapDestroy& message, ipc::Call& call) { daemon.taps().destroy(message, done_of(call)); }
    ipc::Nothing operator()(const ipc::TapFree& message, ipc::Call&) {
        daemon.taps().free(message);
        return {};
    }
    ipc::TapListResult operator()(const ipc::TapList& message, ipc::Call&) { return daemon.taps().list(message); }
};

ControlSocket::ControlSocket(EventLoop& loop, Daemon& daemon, ipc::MessageListener& listener)
    : handlers_(new Handlers{daemon}), server_(loop, listener, {}) {
    server_.serve(*handlers_, ipc::TapbackMessages{});
}

ControlSocket::~ControlSocket() = default;

}  // namespace blktap::tapback
