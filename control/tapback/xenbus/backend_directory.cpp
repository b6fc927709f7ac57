// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/xenbus/backend_directory.hpp"

#include "control/tapback/xenbus/backend_nodes.hpp"

namespace blktap::tapback {

BackendDirectory::BackendDirectory(const StoreSession& session, const ipc::VbdAddress& address, std::string life)
    : session_(session),
      path_(address.backend_path()),
      needs_claim_(address.kind == ipc::VbdAddress::Kind::vbd),
      life_(std::move(life)) {}

bool BackendDirectory::is_claimed(const StoreNodes& nodes) const {
    return !needs_claim_ || nodes.read(node(owner_node)) == owner_name;
}

BackendDirectory::Seen BackendDirectory::leave(bool replaced) noexcept {
    gone_ = true;
    replaced_ = replaced;
    return Seen::gone;
}

BackendDirectory::Seen BackendDirectory::look(const Check& may_take) {
    const XenStore& store = session_.require();
    // The common case. Its other nodes were read before: they do not change within one life.
    if (!began_anew_ && !frontend_.empty() && is_in(store)) return Seen::there;
    const auto frontend = store.read(node("frontend"));
    if (gone_) return leave(frontend.has_value());
    if (!frontend) return began_anew_ ? Seen::unknown : leave(false);
    frontend_ = *frontend;
    if (began_anew_ && !store.read(frontend_ + "/state")) return Seen::unknown;
    if (life_.empty()) {
        if (!take(may_take)) return leave(true);
    } else {
        const auto mark = store.read(node(life_node));
        // A tool that restores the nodes of a lost xenstored may write the mark last.
        if (!mark && began_anew_) return Seen::unknown;
        if (mark != life_ || !is_claimed(store)) return leave(true);
    }
    began_anew_ = false;
    return Seen::there;
}

bool BackendDirectory::take(const Check& may_take) {
    std::string life;
    session_.require().transact([&](const StoreTransaction& nodes) {
        life.clear();
        if (!nodes.read(node("frontend")) || !is_claimed(nodes) || !may_take(nodes)) return;
        life = mark_directory(nodes, path_);
    });
    life_ = life;
    return !life_.empty();
}

bool BackendDirectory::is_in(const StoreNodes& nodes) const {
    return !gone_ && !life_.empty() && nodes.read(node(life_node)) == life_ && is_claimed(nodes);
}

bool BackendDirectory::transact(const Work& work) const {
    if (gone_ || life_.empty()) return false;
    bool there = false;
    session_.require().transact([&](const StoreTransaction& nodes) {
        there = is_in(nodes);
        if (there) work(nodes);
    });
    return there;
}

std::optional<std::string> BackendDirectory::read(const char* name) const {
    return session_.require().read(node(name));
}

// Texts for people.

void BackendDirectory::put_status(const StoreNodes& nodes, const std::string& text) const {
    if (text != status_) nodes.write(node("tapdisk/status"), text);
}

void BackendDirectory::write_status(const std::string& text) {
    if (text == status_) return;
    if (transact([&](const StoreTransaction& nodes) { put_status(nodes, text); })) status_ = text;
}

void BackendDirectory::write_hotplug_error(const std::string& text) {
    const bool written = transact([&](const StoreTransaction& nodes) { nodes.write(node("hotplug-error"), text); });
    hotplug_error_written_ = hotplug_error_written_ || written;
}

/// Removes the error of an earlier, failed attach.
void BackendDirectory::remove_hotplug_error() {
    if (!hotplug_error_written_) return;
    transact([&](const StoreTransaction& nodes) { nodes.remove(node("hotplug-error")); });
    hotplug_error_written_ = false;
}

void BackendDirectory::store_lost() noexcept {
    began_anew_ = true;
    status_.clear();
}

}  // namespace blktap::tapback
