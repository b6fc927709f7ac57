// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A watch only says that something happened: each look reads the backend's state anew.
#include "tests/replay/frontend/xenstore_connection.hpp"

#include <algorithm>
#include <array>
#include <poll.h>

#include "libblktap/base/error.hpp"
#include "tests/replay/failure.hpp"

namespace blktap::replay {
namespace {

bool is_over(XenbusState state) noexcept {
    return state == XenbusState::closed || state == XenbusState::none;
}

bool is_closing(XenbusState state) noexcept {
    return state == XenbusState::closing || is_over(state);
}

std::string number_of(XenbusState state) {
    return std::to_string(static_cast<unsigned>(state));
}

}  // namespace

XenstoreConnection::XenstoreConnection(XenstoreOptions options, Nanoseconds timeout, int interrupt_fd)
    : options_(std::move(options)), timeout_(timeout), interrupt_fd_(interrupt_fd) {
    open_store();
    backend_ = read_backend_place(*store_, options_.frontend);
    store_->watch(backend_.path + "/state", "state");
}

void XenstoreConnection::open_store() {
    store_.reset();
    store_.emplace();
}

FrontendOptions XenstoreConnection::prepare(const FrontendOptions& wishes) {
    asked_to_close_ = leaving_ = false;
    set_state(XenbusState::initialising);
    FrontendOptions options = wishes;
    options.backend_domain = backend_.domain;
    if (options_.skip_init_wait) return options;
    wait_for_backend([](XenbusState state) { return state == XenbusState::init_wait; }, "never offered anything");
    const BackendOffers offers = read_offers(*store_, backend_.path);
    if (options.queue_count > offers.queues_max)
        throw std::runtime_error("the backend offers " + std::to_string(offers.queues_max) + " queues at most");
    if (options.ring_order > offers.ring_order_max)
        throw std::runtime_error("the backend offers rings of order " + std::to_string(offers.ring_order_max) +
                                 " at most");
    return options;
}

Connected XenstoreConnection::connect(const ipc::ConnectArguments& rings, const std::vector<int>&) {
    try {
        return {publish(rings)};
    } catch (...) {
        give_up();
        throw;
    }
}

/// The rings are about to go: a backend that took them lets go first, and nobody finds them in the store later.
void XenstoreConnection::give_up() noexcept {
    try {
        if (read_state(*store_, backend_.path) == XenbusState::connected) return disconnect();
        set_state(XenbusState::closing);
        set_state(XenbusState::closed);
    } catch (const std::exception&) {
        // What brought us here is the better message.
    }
}

ipc::DeviceDescription XenstoreConnection::publish(const ipc::ConnectArguments& rings) {
    const XenbusState before = read_state(*store_, backend_.path);
    store_->transact(
        [&](StoreTransaction& transaction) { write_rings(transaction, options_.frontend, rings, options_.odd); });
    set_state(options_.straight_to_connected ? XenbusState::connected : XenbusState::initialised);
    const auto decided = [before](XenbusState state) {
        return state == XenbusState::connected || (is_closing(state) && state != before);
    };
    const XenbusState state = wait_for_backend(decided, "did not connect");
    if (state != XenbusState::connected)
        throw std::runtime_error("the backend refused to connect: it went to state " + number_of(state));
    const ipc::DeviceDescription device = read_device(*store_, backend_.path);
    set_state(XenbusState::connected);
    return device;
}

void XenstoreConnection::disconnect() {
    if (options_.never_close) return;
    leaving_ = true;
    if (!store_->answers()) open_store();  // xenstored may have been restarted since
    store_->watch(backend_.path + "/state", "state");
    if (!options_.close_at_once || !asked_to_close_) set_state(XenbusState::closing);
    wait_for_backend(is_closing, "did not follow to Closing");
    set_state(XenbusState::closed);
    wait_for_backend(is_over, "did not close");
}

bool XenstoreConnection::check() {
    drain_events();
    const XenbusState state = read_state(*store_, backend_.path);
    if (is_over(state)) throw BackendGone("the backend closed the disk while it was in use");
    if (state != XenbusState::closing || asked_to_close_) return true;
    asked_to_close_ = true;
    if (options_.close_at_once) set_state(XenbusState::closed);
    if (!options_.never_close) return false;
    set_state(XenbusState::closing);
    return true;
}

/// As Linux: a frontend whose directory was taken away leaves no node behind.
void XenstoreConnection::set_state(XenbusState state) {
    const std::string path = options_.frontend + "/state";
    store_->transact([&](StoreTransaction& transaction) {
        const auto before = transaction.read(path);
        if (before && *before != number_of(state)) transaction.write(path, number_of(state));
    });
}

void XenstoreConnection::drain_events() const {
    while (store_->next_event()) {
    }
}

XenbusState XenstoreConnection::wait_for_backend(const std::function<bool(XenbusState)>& done,
                                                 const std::string& what) {
    const Nanoseconds deadline = clock_.now() + timeout_;
    while (true) {
        drain_events();
        const XenbusState state = read_state(*store_, backend_.path);
        if (done(state)) return state;
        const Nanoseconds left = deadline - clock_.now();
        if (left <= Nanoseconds(0)) throw Failure("the backend " + what + ": it is in state " + number_of(state));
        // Who was interrupted still leaves in order, and that takes the backend's time.
        std::array<pollfd, 2> watched{pollfd{store_->fd(), POLLIN, 0},
                                      pollfd{leaving_ ? -1 : interrupt_fd_, POLLIN, 0}};
        // At least now and then: a lost xenstored makes no descriptor readable, but the next look fails.
        const auto limit = std::min(std::chrono::ceil<std::chrono::milliseconds>(left), std::chrono::milliseconds(500));
        ::poll(watched.data(), watched.size(), static_cast<int>(limit.count()));
        if (watched[1].revents != 0) throw std::runtime_error("interrupted");
    }
}

}  // namespace blktap::replay
