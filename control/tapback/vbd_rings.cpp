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

}  // namespace

void Vbd::connect() {
    ipc::ConnectArguments arguments;
    try {
        arguments = read_frontend([this](const std::string& name) { return store().read(frontend_path_ + '/' + name); },
                                  [this](const std::string& name) { return store().read(node(name.c_str())); },
                                  [this] { return guest_protocol(address_.domain); });
        arguments.domain = address_.domain;
        arguments.discard_enabled = store().read(node("discard-enable")) != "0";
        arguments.direct_io_safe = store().read(node("direct-io-safe")) == "1";
        // The tapdisk empties it, when it has no other ring any more that uses it.
        recovery_log_.reset(::open(file(".recovery").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        if (!recovery_log_) throw_system_error(file(".recovery"));
    } catch (const std::system_error& error) {
        if (!host_.store || !host_.store->answers()) throw;
        now_.refused = true;
        return set_problem(error.what());
    }
    now_.link = Link::busy;
    tapdisk_->call("connect", arguments, {recovery_log_.get()}, [this](const ipc::Reply& reply) {
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
        // Nothing was connected, or another operation is in the way and the rings are still mapped.
        if (ipc::error_code_named(reply.error_code) == Errc::wrong_state) return ask_link();
        disconnected();
    });
}

void Vbd::ask_link() {
    tapdisk_->call("stats", ipc::Json::object(), {}, [this](const ipc::Reply& stats) {
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
