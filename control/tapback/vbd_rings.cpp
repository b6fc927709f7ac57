// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Vbd's rings: given to its tapdisk, and taken back.
#include <fcntl.h>
#include <unistd.h>

#include "control/tapback/backend_nodes.hpp"
#include "control/tapback/frontend_keys.hpp"
#include "control/tapback/guest_width.hpp"
#include "control/tapback/vbd.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::tapback {
namespace {

using Link = Situation::Link;

/// The process, or the connection to it, is gone: which of them it is, and what becomes of the rings, comes by its
/// hook.
bool is_no_answer(const ipc::Reply& reply) {
    return ipc::error_code_named(reply.error_code) == Errc::peer_closed;
}

}  // namespace

/// What the frontend wrote about its rings, and the toolstack about the disk.
/// Errors: throws std::system_error (Errc::bad_message: the frontend's).
ipc::ConnectArguments Vbd::keys(const StoreNodes& nodes) const {
    ipc::ConnectArguments arguments =
        read_frontend([&](const std::string& name) { return nodes.read(frontend_path_ + '/' + name); },
                      [&](const std::string& name) { return nodes.read(node(name.c_str())); },
                      [this] { return guest_protocol(address_.domain); });
    arguments.domain = address_.domain;
    arguments.discard_enabled = nodes.read(node("discard-enable")) != "0";
    arguments.direct_io_safe = nodes.read(node("direct-io-safe")) == "1";
    return arguments;
}

/// Whether its frontend's keys name other rings than those that are connected: it closed, began again and published
/// them between two looks. Of keys that make no sense nothing is known.
bool Vbd::has_new_rings() const {
    if (now_.link != Link::up || !rings_ || !is_ready(now_.frontend)) return false;
    try {
        ipc::ConnectArguments named = keys(store());
        // The toolstack's part, which counts when rings are connected.
        named.discard_enabled = rings_->discard_enabled;
        named.direct_io_safe = rings_->direct_io_safe;
        return named != *rings_;
    } catch (const std::system_error& error) {
        if (error.code() != Errc::bad_message) throw;
        return false;
    }
}

/// keys() of the moment in which they ask to be connected; nullopt: by then they do not. Errors: as of keys().
std::optional<ipc::ConnectArguments> Vbd::read_keys() {
    std::optional<ipc::ConnectArguments> arguments;
    std::optional<std::system_error> nonsense;
    const bool there = directory_.transact([&](const StoreTransaction& nodes) {
        arguments.reset();
        nonsense.reset();
        if (!confirm(Step::connect, nodes)) return;
        try {
            arguments = keys(nodes);
        } catch (const std::system_error& error) {
            if (error.code() != Errc::bad_message) throw;
            nonsense = error;  // if this was one moment
        }
    });
    if (!there) return std::nullopt;
    if (nonsense) throw std::system_error(*nonsense);
    return arguments;
}

void Vbd::connect() {
    std::optional<ipc::ConnectArguments> arguments;
    try {
        arguments = read_keys();
        if (!arguments) return all_changed();
        // The tapdisk empties it, when it has no other ring any more that uses it.
        recovery_log_.reset(::open(file(".recovery").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        if (!recovery_log_) throw_system_error(file(".recovery"));
    } catch (const std::system_error& error) {
        if (!host_.session.store() || !host_.session.store()->answers()) throw;
        now_.refused = true;
        return set_problem(error.what());
    }
    set_link(Link::busy);
    now_.abandoned = false;
    now_.published = false;
    rings_ = arguments;
    try_to_record();  // without its rings the next tapback takes the frontend's keys for theirs
    session_.call(ipc::Connect{*arguments}, {recovery_log_.get()}, [this](const ipc::Reply& reply) {
        if (is_no_answer(reply)) return;
        set_link(reply.error_code.empty() ? Link::up : Link::none);
        // Another operation is in the way, which is not the frontend's fault.
        if (ipc::error_code_named(reply.error_code) == Errc::wrong_state) return host_.mark_later(address_);
        now_.refused = !reply.error_code.empty();
        if (now_.refused) {
            rings_.reset();
            set_problem("the frontend cannot be served: " + reply.error_message);
        } else {
            problem_.clear();
            session_.described(reply.result.get<ipc::DeviceDescription>());
        }
        host_.mark(address_);
    });
}

void Vbd::disconnect() {
    if (!now_.owned && !domain_dead_) tell_to_close();
    let_go(rings_left());
}

/// A frontend that nobody has told: what it sends until it knows is answered.
void Vbd::tell_to_close() {
    directory_.transact([&](const StoreTransaction& nodes) {
        const Xenbus state = parse_frontend_state(nodes.read(node("state")));
        if (state < Xenbus::closing) write_state(nodes, directory_.path(), Xenbus::closing);
    });
    all_changed();
}

/// Linux closes at once when it is told to, whatever it has sent and not been answered, and whoever removes its device
/// waits for that: in a guest, and in this domain, it is the one thread for all devices.
ipc::RingsLeft Vbd::rings_left() const {
    if (domain_dead_ || is_starting(now_.frontend) || now_.renewed) return ipc::RingsLeft::untouched;
    if (forced_) return ipc::RingsLeft::failed;
    const bool closed_by_itself = now_.owned && now_.online && now_.frontend == Xenbus::closed;
    return closed_by_itself ? ipc::RingsLeft::untouched : ipc::RingsLeft::served;
}

void Vbd::let_go(ipc::RingsLeft rings) {
    set_link(Link::busy);
    session_.call(ipc::Disconnect{rings}, {}, [this, rings](const ipc::Reply& reply) {
        if (is_no_answer(reply)) return;
        // Of an earlier version, which leaves every ring as it is.
        const bool unknown = reply.error_code == ipc::error_code_name(Errc::bad_message);
        if (unknown && rings != ipc::RingsLeft::untouched) return let_go(ipc::RingsLeft::untouched);
        // Nothing was connected, or another operation is in the way and the rings are still mapped.
        if (ipc::error_code_named(reply.error_code) == Errc::wrong_state) return ask_link();
        disconnected();
    });
}

/// Of rings that an earlier tapback connected. Errors: as of keys(); ENOENT: they may be those of another disk by now.
ipc::ConnectArguments Vbd::abandoned_keys() const {
    std::optional<ipc::ConnectArguments> found;
    directory_.transact([&](const StoreTransaction& nodes) { found = keys(nodes); });
    if (found) return *found;
    throw_error(std::make_error_code(std::errc::no_such_file_or_directory), directory_.path());
}

/// The frontend closes, and waits for what the tapdisk that died has left; another one answers it, without an image.
void Vbd::abandon() {
    now_.abandoned = false;
    try {
        if (!rings_) rings_ = abandoned_keys();
        recovery_log_.reset(::open(file(".recovery").c_str(), O_RDONLY | O_CLOEXEC));
        if (!recovery_log_) throw_system_error(file(".recovery"));
        answerer_ = host_.tapdisks.start(
            session_.socket_path(), {.open_file = [](const auto&) { return -1; }, .ended = [this] { abandoned(); }});
    } catch (const std::system_error& error) {
        now_.abandoned = !host_.session.store() || !host_.session.store()->answers();
        if (now_.abandoned) throw;
        return log::error(
            "vbd.abandoned",
            {{"vbd", address_.name()}, {"reason", error.what()}, {"state", "what its guest has sent is not answered"}});
    }
    set_link(Link::busy);
    answerer_->call(ipc::Abandon{*rings_}, {recovery_log_.get()}, [this](const ipc::Reply& reply) {
        if (!reply.error_code.empty())
            log::error("vbd.abandoned", {{"vbd", address_.name()},
                                         {"reason", reply.error_message},
                                         {"state", "what its guest has sent is not answered"}});
        answerer_->terminate();
    });
}

void Vbd::abandoned() {
    ::unlink(session_.socket_path().c_str());
    disconnected();
}

void Vbd::ask_link() {
    session_.call(ipc::Stats{}, {}, [this](const ipc::Reply& stats) {
        if (is_no_answer(stats)) return;
        const bool connected = stats.error_code.empty() && ipc::disk_state(stats.result).connected;
        if (!connected) return disconnected();
        set_link(Link::up);
        host_.mark_later(address_);
    });
}

void Vbd::disconnected() {
    set_link(Link::none);
    now_.renewed = false;
    if (std::exchange(rings_, std::nullopt) && has_image()) try_to_record();
    log::info("vbd.disconnected", {{"vbd", address_.name()}});
    host_.mark(address_);
}

}  // namespace blktap::tapback
