// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Vbd and its nodes: what they say one by one, and whether they say it together. See docs/decisions/0011.
#include "control/tapback/backend_nodes.hpp"
#include "control/tapback/vbd.hpp"

namespace blktap::tapback {
namespace {

using Tapdisk = Situation::Tapdisk;

bool is_starting_or_gone(Xenbus frontend) noexcept {
    return frontend == Xenbus::unknown || frontend == Xenbus::initialising || frontend == Xenbus::closed;
}

}  // namespace

void Vbd::node_changed(const std::string& below) noexcept {
    if (below == "state" || below == "online") {
        stale_.backend = true;  // a toolstack writes both at once, and the events come in any order
    } else {
        all_changed();
    }
}

bool Vbd::has_directory() {
    stale_.directory = true;
    return observe_directory();
}

/// False: it is not there, or not known to be.
bool Vbd::observe_directory() {
    const bool was_replaced = directory_.is_replaced();
    const bool was_known = !directory_.life().empty();
    const auto seen = directory_.look([this](const StoreNodes& nodes) { return names_our_tap(nodes); });
    if (!was_replaced && directory_.is_replaced()) tell_replaced();
    // An earlier version's record does not say which life is meant.
    if (!was_known && seen == BackendDirectory::Seen::there && has_image()) try_to_record();
    now_.owned = !released_ &&
                 (seen == BackendDirectory::Seen::there || (seen == BackendDirectory::Seen::unknown && now_.owned));
    if (directory_.is_gone()) return false;
    const std::string& path = directory_.frontend();
    const bool of_its_domain = path.starts_with("/local/domain/" + std::to_string(address_.domain) + "/device/");
    // Before the first look at it: a state that comes after a look and before the watch would never be told.
    if (of_its_domain) watch_frontend(path + "/state");
    if (seen != BackendDirectory::Seen::there) return false;
    if (of_its_domain) {
        frontend_path_ = path;
    } else {
        set_problem("its frontend is not of its domain: " + path);
        frontend_path_.clear();
    }
    return true;
}

/// Of a directory without a mark: it was made for another disk when it names another tapdisk, or none yet. The
/// script writes the name before there is a record.
bool Vbd::names_our_tap(const StoreNodes& nodes) const {
    if (tap() == nullptr) return true;
    const auto is = [&](const char* name, std::uint32_t value) {
        return nodes.read(node(name)) == std::to_string(value);
    };
    return is("pid", tap()->name.pid) && is("minor", tap()->name.minor);
}

void Vbd::tell_replaced() {
    if (!has_image() && session_.tapdisk() == nullptr) return;
    set_problem("its backend directory was removed and made anew; it ends, and the new disk waits for that");
}

/// Reads what is stale, node by node: cheap, and enough to see that nothing is to be done, because whatever changes
/// after it was read has an event on its way. What is seen here may never have been true together: confirm() says.
void Vbd::observe() {
    if (stale_.directory && !observe_directory()) return;
    if (stale_.backend) read_backend(store(), now_);
    if (stale_.frontend) {
        read_frontend_state(store(), now_);
        now_.renewed = has_new_rings();
    }
    stale_ = {.directory = false, .backend = false, .frontend = false};
}

void Vbd::read_backend(const StoreNodes& nodes, Situation& now) const {
    now.online = nodes.read(node("online")) != "0";
    now.backend = parse_frontend_state(nodes.read(node("state")));
}

void Vbd::read_frontend_state(const StoreNodes& nodes, Situation& now) const {
    now.frontend =
        frontend_path_.empty() ? Xenbus::unknown : parse_frontend_state(nodes.read(frontend_path_ + "/state"));
    if (is_starting_or_gone(now.frontend)) now.refused = false;
    if (is_starting(now.frontend)) now.abandoned = false;  // it has forgotten what it sent
}

/// Whether all the nodes, read in one transaction, ask for the step that observe() led to. Then `now_` is what they
/// say; if the transaction does not commit, all of it is to be done again.
bool Vbd::confirm(Step step, const StoreTransaction& nodes) {
    Situation then = now_;
    read_backend(nodes, then);
    read_frontend_state(nodes, then);
    if (next_step(then) != step) return false;
    now_ = then;
    return true;
}

/// For a step that writes no node. Of the one that is given up nothing else matters.
bool Vbd::confirmed(Step step) {
    if (!now_.owned) return true;
    bool asked = false;
    const bool there = directory_.transact([&](const StoreTransaction& nodes) { asked = confirm(step, nodes); });
    if (!there || !asked) all_changed();
    return there && asked;
}

/// A disk of "plug" that has come to its end: nobody else removes its nodes.
bool Vbd::is_unplugged() {
    const auto ended = [this] {
        return plugged_ && now_.owned && now_.backend == Xenbus::closed && !now_.online &&
               now_.tapdisk == Tapdisk::none;
    };
    return ended() && confirmed(Step::none) && ended();
}

void Vbd::watch_frontend(const std::string& path) {
    if (frontend_watched_ == path) return;
    if (!frontend_watched_.empty()) store().unwatch(frontend_watched_, directory_.path());
    store().watch(path, directory_.path());
    frontend_watched_ = path;
}

}  // namespace blktap::tapback
