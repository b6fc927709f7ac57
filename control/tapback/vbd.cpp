// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vbd.hpp"

#include <unistd.h>

#include "control/tapback/backend_nodes.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::tapback {
namespace {

using Link = Situation::Link;

constexpr int steps_max = 16;  ///< of one look(): a guest that turns its state around waits for the next turn

}  // namespace

Vbd::Vbd(Host& host, const ipc::VbdAddress& address, Plugged plugged, const std::string& life)
    : host_(host),
      address_(address),
      plugged_(plugged == Plugged::yes),
      directory_(host.session, address, life),
      session_({host.loop, host.tapdisks, host.files, host.options.run_directory}, address, session_hooks()),
      link_({host.session, host.tapdisks, file(".recovery")}, address, directory_, session_, link_hooks()),
      problems_(host.loop, host.problem_hook, address.name(), [this] { host_.mark(address_); }),
      unplug_timer_(host.loop, [this] { unplug_takes_long(); }),
      give_up_timer_(host.loop, [this] { give_up_asking(); }) {}

Vbd::Vbd(Host& host, const VbdRecord& record)
    : Vbd(host, record.backend, record.plugged ? Plugged::yes : Plugged::no, record.life) {
    now_.offered = true;
    link_.restore(record.rings);
    session_.restore(record);
}

Vbd::~Vbd() = default;

const XenStore& Vbd::store() const {
    return host_.session.require();
}

std::string Vbd::file(const char* suffix) const {
    return host_.options.run_directory + '/' + address_.file_name() + suffix;
}

void Vbd::look() {
    session_.tidy();
    link_.tidy();
    if (!host_.session.store()) return;
    for (int i = 0; i < steps_max; ++i) {
        observe();
        now_.kernel_waits = kernel_waits();
        if (directory_.is_store_lost() && now_.owned) return;  // what it does not know it cannot act on
        if (is_unplugged()) {
            released_ = true;
            now_.owned = false;
        }
        const Step step = next_step(now_);
        if (step == Step::none || is_too_soon(step)) {
            watch_ending();
            return settle();
        }
        perform(step);
        if (finished_) return;
    }
    host_.mark(address_);
}

/// Only what begins something waits: to end it is never too soon.
bool Vbd::is_too_soon(Step step) {
    if (step != Step::offer && step != Step::connect) return false;
    const bool before = std::exchange(paced_, !pace_.take(host_.loop.clock().now()));
    if (!paced_) return false;
    if (!before) log::warning("vbd.paced", {{"vbd", address_.name()}, {"state", "reconnects too often, and waits"}});
    host_.mark_later(address_);
    return true;
}

void Vbd::perform(Step step) {
    switch (step) {
        case Step::none:
            return;
        case Step::offer:
            return offer();
        case Step::connect:
            return connect();
        case Step::publish:
            return publish();
        case Step::disconnect:
            return disconnect();  // the frontend's state alone asks for it
        case Step::abandon:
            if (confirmed(step)) link_.abandon();
            return;
        case Step::closing:
            enter(step, Xenbus::closing);
            return;
        case Step::close:
            enter(step, Xenbus::closed);
            return;
        case Step::end_tapdisk:
            if (confirmed(step)) end_tapdisk();
            return;
        case Step::forget:
            return forget();
    }
}

void Vbd::offer() {
    const bool entered = enter(Step::offer, Xenbus::init_wait, [this](const StoreTransaction& nodes) {
        // Offers that a frontend has read stand.
        const bool begins = now_.backend != Xenbus::init_wait;
        if (begins || now_.frontend == Xenbus::initialising) write_offers(nodes, directory_.path());
    });
    if (!entered) return;
    now_.offered = true;
    link_.offered();
    gather();
}

/// Writes a state, in one transaction with what goes before it, with what people are told, and with another look at
/// all that asks for it: what others wrote meanwhile stands, and what vanished is not made anew. False: nothing was
/// written, and all is to be looked at again.
bool Vbd::enter(Step step, Xenbus state, const std::function<void(const StoreTransaction&)>& write_first) {
    bool asked = false;
    std::string told;
    const bool there = directory_.transact([&](const StoreTransaction& nodes) {
        asked = confirm(step, nodes);
        if (!asked) return;
        write_first(nodes);
        Situation then = now_;
        then.backend = state;
        told = status(then);
        if (state != now_.backend || step == Step::publish) write_state(nodes, directory_.path(), state);
        directory_.put_status(nodes, told);
    });
    if (!there || !asked) {
        all_changed();
        return false;
    }
    now_.backend = state;
    directory_.status_is(told);
    problems_.tell();
    return true;
}

void Vbd::publish() {
    const auto write = [this](const StoreTransaction& nodes) {
        write_features(nodes, directory_.path(), session_.description().value());
    };
    if (!enter(Step::publish, Xenbus::connected, write)) return;
    link_.published();
    gather();
    log::info("vbd.connected", {{"vbd", address_.name()}, {"image", has_image() ? session_.image()->path : ""}});
}

void Vbd::connect() {
    const auto asked = [this](const StoreTransaction& nodes) { return confirm(Step::connect, nodes); };
    if (!link_.connect(asked)) all_changed();
}

// The end.

void Vbd::disconnect() {
    if (!now_.owned && !domain_dead_) tell_to_close();
    link_.disconnect(rings_left());
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

void Vbd::domain_died() {
    released_ = true;
    domain_dead_ = true;
    link_.forget_abandoned();
    gather();
    all_changed();
    host_.mark(address_);
}

void Vbd::forget() {
    if (plugged_) {
        remove_nodes(store(), address_, directory_.life());
    } else {
        leave_directory();
    }
    link_.unfollow();
    remove_record(host_.options.run_directory, address_);
    ::unlink(file(".recovery").c_str());
    ::unlink(session_.socket_path().c_str());
    log::info("vbd.gone", {{"vbd", address_.name()}});
    finished_ = true;
    unplug_timer_.disarm();
    const auto told = [unplugged = std::exchange(unplug_done_, nullptr), calls = std::exchange(when_finished_, {})] {
        if (unplugged) unplugged({});
        for (const auto& call : calls)
            call();
    };
    host_.files.forget(address_.name(), told);
}

/// Whoever waits for the end of the disk finds it closed, whatever the state was.
void Vbd::leave_directory() {
    const bool claimed_kind = address_.kind == ipc::VbdAddress::Kind::vbd;
    // As it mostly is: its toolstack has removed it, or it is closed and bears no claim.
    if (directory_.is_gone() || (!claimed_kind && directory_.read("state") == "6")) return;
    Situation then = now_;
    then.backend = Xenbus::closed;
    directory_.transact([&](const StoreTransaction& nodes) {
        if (nodes.read(node("state")) != "6") write_state(nodes, directory_.path(), Xenbus::closed);
        if (claimed_kind) {
            nodes.remove(node("tapdisk"));
        } else {
            directory_.put_status(nodes, status(then));
        }
    });
}

// What people are told.

/// Why it does not serve; empty: that is over.
void Vbd::set_problem(const std::string& problem) {
    if (!problems_.set_reason(problem) || problem.empty()) return;
    if (session_.state() != Session::opening || !host_.session.store()) return;
    // The script that waits for this image is about to fail: this is what xl prints.
    try {
        directory_.write_hotplug_error(problem);
    } catch (const std::system_error& error) {
        log::warning("vbd.hotplug-error", {{"vbd", address_.name()}, {"reason", error.what()}});
    }
}

void Vbd::forget_hotplug_error() {
    if (!host_.session.store()) return;
    try {
        directory_.remove_hotplug_error();
    } catch (const std::system_error& error) {
        log::warning("vbd.hotplug-error", {{"vbd", address_.name()}, {"reason", error.what()}});
    }
}

std::string Vbd::describe(const Situation& now) const {
    const TapdiskHandle* const process = session_.tapdisk();
    const bool lost = process != nullptr && now.tapdisk != Situation::Tapdisk::ending && !process->is_connected();
    if (session_.state() == Session::lost || lost) return "unreachable";
    if (now.backend == Xenbus::closed) return "closed";
    if (now.paused && now.tapdisk == Situation::Tapdisk::open) return "paused";
    if (now.link == Link::up) {
        if (now.backend == Xenbus::closing || now.frontend == Xenbus::closing) return "closing";
        return "connected";
    }
    if (now.link == Link::busy) return "connecting or disconnecting";
    switch (now.tapdisk) {
        case Situation::Tapdisk::none:
            return has_image() ? "held" : "waiting for the image";
        case Situation::Tapdisk::starting:
            return "opening the image";
        case Situation::Tapdisk::ending:
            return "closing the image";
        case Situation::Tapdisk::open:
            break;
    }
    return paced_ ? "waiting, because its guest reconnects too often" : "waiting for the guest";
}

std::string Vbd::status(const Situation& now) const {
    const std::string reason = problems_.text();
    return describe(now) + (reason.empty() ? "" : ": " + reason);
}

/// A problem is told at once. What it is doing is told if it still does so at the next tick: a disk goes through many
/// states within milliseconds, and to write each down would make it wait for xenstored.
void Vbd::settle() {
    if (!problems_.is_told()) return write_status();
    const bool is_told = !now_.owned || directory_.is_store_lost() || status(now_) == directory_.status();
    if (!is_told) host_.mark_status(address_);
}

void Vbd::write_status() {
    if (!host_.session.store() || !now_.owned || directory_.is_store_lost()) return;
    directory_.write_status(status(now_));
    problems_.tell();
}

/// A plain disk line names no script: xl runs Xen's "block", in whose place the wrapper was.
bool Vbd::came_by_takeover() const {
    if (address_.kind != ipc::VbdAddress::Kind::vbd || !host_.session.store()) return false;
    const std::string script = directory_.read("script").value_or("");
    return script.substr(script.rfind('/') + 1) == "block";
}

ipc::VbdEntry Vbd::entry(bool whole) const {
    ipc::VbdEntry entry;
    entry.backend = address_;
    entry.state = describe(now_);
    entry.backend_state = static_cast<std::uint32_t>(now_.backend);
    entry.frontend_state = static_cast<std::uint32_t>(now_.frontend);
    if (const TapdiskHandle* const process = session_.tapdisk()) entry.pid = static_cast<std::uint32_t>(process->pid());
    entry.image = session_.image();
    if (std::string reason = problems_.text(); !reason.empty()) entry.problem = std::move(reason);
    if (tap() != nullptr) entry.minor = tap()->name.minor;
    entry.takeover = came_by_takeover();
    if (whole) {
        entry.description = session_.description();
    } else if (entry.image) {
        entry.image->options.clear();
    }
    return entry;
}

}  // namespace blktap::tapback
