// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Vbd's rings: given to its tapdisk, and taken back.
#include <fcntl.h>

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

/// What the frontend wrote about its rings, and the toolstack about the disk, of the moment in which they ask to be
/// connected; nullopt: by then they do not. Errors: throws std::system_error (Errc::bad_message: the frontend's).
std::optional<ipc::ConnectArguments> Vbd::read_keys() {
    std::optional<ipc::ConnectArguments> arguments;
    std::optional<std::system_error> nonsense;
    store().transact([&](const StoreTransaction& nodes) {
        arguments.reset();
        nonsense.reset();
        if (!confirm(Step::connect, nodes)) return;
        try {
            arguments = read_frontend([&](const std::string& name) { return nodes.read(frontend_path_ + '/' + name); },
                                      [&](const std::string& name) { return nodes.read(node(name.c_str())); },
                                      [this] { return guest_protocol(address_.domain); });
        } catch (const std::system_error& error) {
            if (error.code() != Errc::bad_message) throw;
            nonsense = error;  // if this was one moment
            return;
        }
        arguments->domain = address_.domain;
        arguments->discard_enabled = nodes.read(node("discard-enable")) != "0";
        arguments->direct_io_safe = nodes.read(node("direct-io-safe")) == "1";
    });
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
        if (!host_.store || !host_.store->answers()) throw;
        now_.refused = true;
        return set_problem(error.what());
    }
    now_.link = Link::busy;
    tapdisk_->call("connect", *arguments, {recovery_log_.get()}, [this](const ipc::Reply& reply) {
        if (is_no_answer(reply)) return;
        now_.link = reply.error_code.empty() ? Link::up : Link::none;
        // Another operation is in the way, which is not the frontend's fault.
        if (ipc::error_code_named(reply.error_code) == Errc::wrong_state) return host_.mark_later(address_);
        now_.refused = !reply.error_code.empty();
        if (now_.refused) {
            set_problem("the frontend cannot be served: " + reply.error_message);
        } else {
            problem_.clear();
            description_ = reply.result.get<ipc::DeviceDescription>();
        }
        host_.mark(address_);
    });
}

void Vbd::disconnect() {
    now_.link = Link::busy;
    tapdisk_->call("disconnect", ipc::Json::object(), {}, [this](const ipc::Reply& reply) {
        if (is_no_answer(reply)) return;
        // Nothing was connected, or another operation is in the way and the rings are still mapped.
        if (ipc::error_code_named(reply.error_code) == Errc::wrong_state) return ask_link();
        disconnected();
    });
}

void Vbd::ask_link() {
    tapdisk_->call("stats", ipc::Json::object(), {}, [this](const ipc::Reply& stats) {
        if (is_no_answer(stats)) return;
        const bool connected = stats.error_code.empty() && stats.result.value("connected", false);
        if (!connected) return disconnected();
        now_.link = Link::up;
        host_.mark_later(address_);
    });
}

void Vbd::disconnected() {
    now_.link = Link::none;
    log::info("vbd.disconnected", {{"vbd", address_.name()}});
    host_.mark(address_);
}

}  // namespace blktap::tapback
