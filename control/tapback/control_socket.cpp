// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/control_socket.hpp"

#include "libblktap/base/log.hpp"

namespace blktap::tapback {
namespace {

/// Requests of one client, and clients, before others have their turn; their descriptors stay readable.
constexpr int taken_per_wakeup = 16;

ipc::Reply success(ipc::Json result) {
    ipc::Reply reply;
    reply.result = std::move(result);
    return reply;
}

}  // namespace

struct ControlSocket::Client {
    Client(EventLoop& loop, ipc::MessageSocket socket, EventLoop::Watch::Handler handler)
        : channel(std::move(socket)), watch(loop, channel.fd(), EPOLLIN, std::move(handler)) {}
    ipc::Channel channel;
    EventLoop::Watch watch;
};

ControlSocket::ControlSocket(EventLoop& loop, Daemon& daemon, ipc::MessageListener& listener)
    : loop_(loop),
      daemon_(daemon),
      listener_(listener),
      watch_(loop, listener_.fd(), EPOLLIN, [this](std::uint32_t) { accept_clients(); }) {}

ControlSocket::~ControlSocket() = default;

void ControlSocket::accept_clients() {
    for (int i = 0; i < taken_per_wakeup; ++i) {
        auto socket = listener_.accept();
        if (!socket) return;
        const ClientId id = ++last_client_;
        clients_.emplace(id,
                         std::make_unique<Client>(loop_, std::move(*socket), [this, id](std::uint32_t) { serve(id); }));
    }
}

void ControlSocket::serve(ClientId id) {
    try {
        for (int i = 0; i < taken_per_wakeup && serve_next(id); ++i) {
        }
    } catch (const std::system_error& error) {
        if (error.code() != Errc::peer_closed) log::warning("control.client", {{"reason", error.what()}});
        clients_.erase(id);
    }
}

bool ControlSocket::serve_next(ClientId id) {
    const auto client = clients_.find(id);
    if (client == clients_.end()) return false;
    try {
        const auto request = client->second->channel.next_request();
        if (!request) return false;
        handle(id, *request);
    } catch (const std::system_error& error) {
        if (error.code() != Errc::bad_message && error.code() != Errc::bad_version) throw;
        client->second->channel.reply_bad_message(error);
    }
    return true;
}

void ControlSocket::handle(ClientId id, const ipc::Request& request) {
    const Daemon::Done done = [this, id, number = request.id](const ipc::Reply& answer) { reply(id, number, answer); };
    try {
        run(request, done);
    } catch (const std::system_error& error) {
        done(error_reply(error.code(), error.what()));
    } catch (const std::exception& error) {
        done(error_reply(std::make_error_code(std::errc::not_enough_memory), error.what()));
    }
}

void ControlSocket::reply(ClientId id, std::uint64_t request, const ipc::Reply& answer) {
    const auto client = clients_.find(id);
    if (client == clients_.end()) return;
    try {
        if (answer.error_code.empty()) {
            client->second->channel.reply(request, answer.result);
        } else {
            client->second->channel.reply_error(request, ipc::error_code_named(answer.error_code),
                                                answer.error_message);
        }
    } catch (const std::system_error& error) {
        // Its own watch will find the connection closed.
        log::warning("control.client", {{"reason", error.what()}});
    }
}

void ControlSocket::run(const ipc::Request& request, const Daemon::Done& done) {
    const std::string& name = request.name;
    if (name == "claim" || name == "attach" || name == "detach" || name == "owner") return run_hotplug(request, done);
    if (name == "list") return done(success(daemon_.list(request.arguments.get<ipc::ListArguments>().after)));
    if (name == "plug") return daemon_.plug(request.arguments.get<ipc::PlugArguments>(), done);
    if (name == "unplug") return daemon_.unplug(request.arguments.get<ipc::UnplugArguments>(), done);
    if (name == "resume") return resume(request, done);
    if (name == "record") return record(request, done);
    if (name == "resize") {
        const auto arguments = request.arguments.get<ipc::VbdResizeArguments>();
        return daemon_.vbd(arguments.vbd).resize(arguments.size_bytes, done);
    }
    if (name == "status") {
        ipc::expect_no_arguments(request.arguments);
        return done(success(daemon_.status()));
    }
    if (name.starts_with("tap-")) return run_tap(request, done);
    if (name == "info" || name == "stats" || name == "pause") return run_operator(request, done);
    throw_error(Errc::unknown_request, '"' + name + '"');
}

void ControlSocket::run_hotplug(const ipc::Request& request, const Daemon::Done& done) {
    if (request.name == "attach") return daemon_.attach(request.arguments.get<ipc::AttachArguments>(), done);
    const ipc::VbdAddress backend = request.arguments.get<ipc::BackendArguments>().backend;
    if (request.name == "detach") return daemon_.detach(backend, done);
    if (request.name == "owner") return done(success({{"owned", daemon_.owns(backend)}}));
    daemon_.claim(backend);
    done({});
}

void ControlSocket::run_tap(const ipc::Request& request, const Daemon::Done& done) {
    const std::string& name = request.name;
    Taps& taps = daemon_.taps();
    if (name == "tap-open") return taps.open(request.arguments.get<ipc::TapOpenArguments>(), done);
    if (name == "tap-destroy") return taps.destroy(request.arguments.get<ipc::TapArguments>(), done);
    if (name == "tap-list") return done(success(taps.list(request.arguments.get<ipc::TapListArguments>())));
    if (name == "tap-attach") {
        taps.attach(request.arguments.get<ipc::TapArguments>());
        return done({});
    }
    if (name == "tap-free") {
        taps.free(request.arguments.get<ipc::TapMinor>());
        return done({});
    }
    const bool allocates = name == "tap-allocate";
    if (!allocates && name != "tap-spawn") throw_error(Errc::unknown_request, '"' + name + '"');
    ipc::expect_no_arguments(request.arguments);
    done(success(allocates ? ipc::Json(taps.allocate()) : ipc::Json(taps.spawn())));
}

void ControlSocket::run_operator(const ipc::Request& request, const Daemon::Done& done) {
    Vbd& vbd = daemon_.vbd(request.arguments.get<ipc::VbdArguments>());
    if (request.name == "info") return done(success(vbd.entry(true)));
    if (request.name == "pause") return vbd.pause(done);
    vbd.call_tapdisk(request.name, ipc::Json::object(), {}, done);
}

void ControlSocket::resume(const ipc::Request& request, const Daemon::Done& done) {
    const auto arguments = request.arguments.get<ipc::VbdResumeArguments>();
    daemon_.vbd(arguments.vbd).resume(arguments, done);
}

void ControlSocket::record(const ipc::Request& request, const Daemon::Done& done) {
    const auto arguments = request.arguments.get<ipc::VbdRecordArguments>();
    std::vector<int> descriptors;
    for (const UniqueFd& fd : request.descriptors)
        descriptors.push_back(fd.get());
    daemon_.vbd(arguments.vbd).call_tapdisk("record", ipc::RecordArguments{arguments.start}, descriptors, done);
}

}  // namespace blktap::tapback
