// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/xenbus/store_session.hpp"

#include <unistd.h>

#include "libblktap/base/error.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::tapback {
namespace {

constexpr const char* backend_token = "backend";
constexpr const char* release_token = "release";
/// The node whose absence shows that xenstored lost its nodes.
constexpr const char* store_mark = "/tool/tapback";

}  // namespace

const XenStore& StoreSession::require() const {
    if (!store_) throw_error(std::make_error_code(std::errc::not_connected), "xenstored is away");
    return *store_;
}

void StoreSession::open() {
    auto store = std::make_unique<XenStore>();
    store->watch("backend/vbd3", backend_token);
    store->watch("backend/vbd", backend_token);
    store->watch("@releaseDomain", release_token);
    // A xenstored without our mark began anew: its missing nodes were not necessarily removed.
    marked_ = store->read(store_mark).has_value();
    // The turn takes the events.
    watch_.emplace(loop_, store->fd(), EPOLLIN, [](std::uint32_t) {});
    store_ = std::move(store);
}

void StoreSession::connect() {
    try {
        open();
        hooks_.found(marked_);
        mark();
    } catch (const std::system_error& error) {
        log::warning("xenstored", {{"reason", error.what()}, {"state", "tries again"}});
        lose();
    }
}

/// Writes the mark, and not before each disk was seen: the next tapback would take a missing directory for a removed
/// one.
void StoreSession::mark() {
    if (marked_ || !hooks_.all_seen()) return;
    store_->write(store_mark, std::to_string(::getpid()));
    marked_ = true;
}

void StoreSession::lose() {
    if (!store_) return;
    log::error("xenstored.lost", {{"state", "running disks go on, nothing is attached or detached"}});
    watch_.reset();
    store_.reset();
    hooks_.lost();
}

bool StoreSession::check_lost() {
    if (store_ && !store_->answers()) lose();
    return !store_;
}

void StoreSession::tick() {
    if (check_lost()) return connect();
    try {
        mark();
    } catch (const std::system_error& error) {
        log::warning("xenstored", {{"reason", error.what()}});
    }
}

void StoreSession::take_events() {
    try {
        for (int i = 0; i < events_per_turn && store_; ++i) {
            const auto event = store_->next_event();
            if (!event) return;
            handle(*event);
        }
    } catch (const std::system_error& error) {
        log::warning("xenstored", {{"reason", error.what()}});
        check_lost();
    }
}

void StoreSession::handle(const XenStore::Event& event) {
    if (event.token == release_token) return hooks_.domains_changed();
    if (event.token != backend_token) {
        if (const auto node = ipc::parse_backend_path(event.token)) hooks_.frontend_changed(node->vbd);
        return;
    }
    const auto node = ipc::parse_backend_path(event.path);
    if (node) return hooks_.backend_changed(*node);
    hooks_.directory_changed(event.path);
}

}  // namespace blktap::tapback
