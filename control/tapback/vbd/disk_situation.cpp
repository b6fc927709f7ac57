// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// See docs/decisions/0011.
#include "control/tapback/vbd/disk_situation.hpp"

#include "control/tapback/xenbus/backend_nodes.hpp"

namespace blktap::tapback {
namespace {

using Seen = BackendDirectory::Seen;

Situation::Tapdisk tapdisk_of(Session session) noexcept {
    switch (session) {
        case Session::none:
        case Session::idle:
        case Session::reviving:
            break;
        case Session::opening:
        case Session::asking:
        case Session::lost:
        case Session::recovering:
        case Session::upgrading:
            return Situation::Tapdisk::starting;
        case Session::open:
        case Session::paused:
            return Situation::Tapdisk::open;
        case Session::holding:
        case Session::ending:
            return Situation::Tapdisk::ending;
    }
    return Situation::Tapdisk::none;
}

/// Whether the tapdisk does not answer, or is to go on with rings of which it does not know yet.
bool is_unsure_of_rings(Session session, bool has_rings) noexcept {
    switch (session) {
        case Session::asking:
        case Session::lost:
            return true;
        case Session::reviving:
        case Session::recovering:
        case Session::upgrading:
        case Session::holding:
            return has_rings;
        default:
            return false;
    }
}

}  // namespace

DiskSituation::DiskSituation(Parts parts, const ipc::VbdAddress& disk, std::function<void()> life_known)
    : parts_(parts), needs_claim_(disk.kind == ipc::VbdAddress::Kind::vbd), life_known_(std::move(life_known)) {}

// Facts from others.

void DiskSituation::node_changed(const std::string& below) noexcept {
    if (below == "state" || below == "online") {
        stale_.backend = true;  // a toolstack writes both nodes together, and the events come in any order
    } else {
        all_changed();
    }
}

void DiskSituation::gather() {
    const Session session = parts_.session.state();
    now_.tapdisk = tapdisk_of(session);
    now_.paused = parts_.session.is_paused();
    parts_.link.put_into(now_, is_unsure_of_rings(session, parts_.link.rings().has_value()));
}

void DiskSituation::release() noexcept {
    released_ = true;
    now_.owned = false;
}

void DiskSituation::domain_died() {
    release();
    domain_dead_ = true;
    parts_.link.forget_abandoned();
    gather();
    all_changed();
}

// Reading nodes.

bool DiskSituation::has_directory() {
    stale_.directory = true;
    return observe_directory();
}

/// Returns false if the directory is gone, or unknown.
bool DiskSituation::observe_directory() {
    BackendDirectory& directory = parts_.directory;
    const bool was_replaced = directory.is_replaced();
    const bool was_known = !directory.life().empty();
    const Seen seen = directory.look([this](const StoreNodes& nodes) { return names_our_tap(nodes); });
    if (!was_replaced && directory.is_replaced()) tell_replaced();
    // An earlier version's record has no mark.
    if (!was_known && seen == Seen::there && parts_.session.image()) life_known_();
    now_.owned = !released_ && (seen == Seen::there || (seen == Seen::unknown && now_.owned));
    if (directory.is_gone()) return false;
    const bool of_its_domain = directory.frontend().empty() || parts_.link.follow(directory.frontend());
    if (!of_its_domain) parts_.status.set_problem("its frontend is not of its domain: " + directory.frontend());
    return seen == Seen::there;
}

/// For a directory without a mark: if it names another tapdisk, or none yet, it was made for another disk, because the
/// script writes the name before there is a record.
bool DiskSituation::names_our_tap(const StoreNodes& nodes) const {
    const VbdTap* const tap = parts_.session.tap();
    if (tap == nullptr) return true;
    const auto is = [&](const char* name, std::uint32_t value) {
        return nodes.read(node(name)) == std::to_string(value);
    };
    return is("pid", tap->name.pid) && is("minor", tap->name.minor);
}

void DiskSituation::tell_replaced() {
    if (!parts_.session.image() && parts_.session.tapdisk() == nullptr) return;
    parts_.status.set_problem(
        "its backend directory was removed and made anew; it ends, and the new disk waits for that");
}

void DiskSituation::observe() {
    if (stale_.directory && !observe_directory()) return;
    const XenStore& store = parts_.store.require();
    if (stale_.backend) read_backend(store, now_);
    if (stale_.frontend) {
        now_.frontend = parts_.link.read_state(store);
        parts_.link.see(now_.frontend);
        parts_.link.look_for_new_rings(now_.frontend);
    }
    gather();
    stale_ = {.directory = false, .backend = false, .frontend = false};
}

void DiskSituation::read_backend(const StoreNodes& nodes, Situation& now) const {
    now.online = nodes.read(node("online")) != "0";
    now.backend = parse_frontend_state(nodes.read(node("state")));
}

bool DiskSituation::confirm(Step step, const StoreTransaction& nodes) {
    Situation then = now_;
    read_backend(nodes, then);
    then.frontend = parts_.link.read_state(nodes);
    forget_left_behind(then);
    if (next_step(then) != step) return false;
    now_ = then;
    parts_.link.see(now_.frontend);
    return true;
}

bool DiskSituation::confirmed(Step step) {
    if (!now_.owned) return true;  // the other nodes do not matter then
    bool asked = false;
    const bool there = parts_.directory.transact([&](const StoreTransaction& nodes) { asked = confirm(step, nodes); });
    if (!there || !asked) all_changed();
    return there && asked;
}

// Writing nodes.

bool DiskSituation::enter(Step step, Xenbus state, const Work& write_first) {
    bool asked = false;
    std::string told;
    const bool there = parts_.directory.transact([&](const StoreTransaction& nodes) {
        asked = confirm(step, nodes);
        if (!asked) return;
        write_first(nodes);
        if (state != now_.backend || step == Step::publish) write_state(nodes, parts_.directory.path(), state);
        Situation then = now_;
        then.backend = state;
        told = parts_.status.put(nodes, then);
    });
    if (!there || !asked) {
        all_changed();
        return false;
    }
    now_.backend = state;
    parts_.status.was_put(told);
    return true;
}

void DiskSituation::tell_to_close() {
    parts_.directory.transact([&](const StoreTransaction& nodes) {
        const Xenbus state = parse_frontend_state(nodes.read(node("state")));
        if (state < Xenbus::closing) write_state(nodes, parts_.directory.path(), Xenbus::closing);
    });
    all_changed();
}

void DiskSituation::leave() {
    const BackendDirectory& directory = parts_.directory;
    // The common cases: the toolstack has removed the directory, or it is Closed and needs no claim.
    if (directory.is_gone() || (!needs_claim_ && directory.read("state") == "6")) return;
    Situation then = now_;
    then.backend = Xenbus::closed;
    directory.transact([&](const StoreTransaction& nodes) {
        if (nodes.read(node("state")) != "6") write_state(nodes, directory.path(), Xenbus::closed);
        if (needs_claim_) {
            nodes.remove(node("tapdisk"));
        } else {
            parts_.status.put(nodes, then);
        }
    });
}

/// Linux closes at once when it is told to, even with unanswered requests, and the removal of its device waits for
/// their answers: in a guest, and in this domain, in the one thread for all devices.
ipc::RingsLeft DiskSituation::rings_left(bool by_force) const noexcept {
    if (domain_dead_ || is_starting(now_.frontend) || now_.renewed) return ipc::RingsLeft::untouched;
    if (by_force) return ipc::RingsLeft::failed;
    const bool closed_by_itself = now_.owned && now_.online && now_.frontend == Xenbus::closed;
    return closed_by_itself ? ipc::RingsLeft::untouched : ipc::RingsLeft::served;
}

}  // namespace blktap::tapback
