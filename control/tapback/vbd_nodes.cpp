// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Vbd and its nodes: what they say one by one, and whether they say it together. See docs/decisions/0011.
#include "control/tapback/backend_nodes.hpp"
#include "control/tapback/vbd.hpp"

namespace blktap::tapback {
namespace {

using Tapdisk = Situation::Tapdisk;

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
    const bool of_its_domain = directory_.frontend().empty() || link_.follow(directory_.frontend());
    if (!of_its_domain) set_problem("its frontend is not of its domain: " + directory_.frontend());
    return seen == BackendDirectory::Seen::there;
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
        now_.frontend = link_.read_state(store());
        link_.see(now_.frontend);
        link_.look_for_new_rings(now_.frontend);
    }
    gather();
    stale_ = {.directory = false, .backend = false, .frontend = false};
}

void Vbd::read_backend(const StoreNodes& nodes, Situation& now) const {
    now.online = nodes.read(node("online")) != "0";
    now.backend = parse_frontend_state(nodes.read(node("state")));
}

/// Whether all the nodes, read in one transaction, ask for the step that observe() led to. Then `now_` is what they
/// say; if the transaction does not commit, all of it is to be done again.
bool Vbd::confirm(Step step, const StoreTransaction& nodes) {
    Situation then = now_;
    read_backend(nodes, then);
    then.frontend = link_.read_state(nodes);
    forget_left_behind(then);
    if (next_step(then) != step) return false;
    now_ = then;
    link_.see(now_.frontend);
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

}  // namespace blktap::tapback
