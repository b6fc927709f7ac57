// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vbd.hpp"

#include <unistd.h>

#include "control/tapback/backend_nodes.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::tapback {
namespace {

using Tapdisk = Situation::Tapdisk;
using Link = Situation::Link;

constexpr Nanoseconds unplug_patience = std::chrono::seconds(10);  // as long as xl waits for a guest
constexpr int steps_max = 16;  ///< of one look(): a guest that turns its state around waits for the next turn

bool is_starting_or_gone(Xenbus frontend) noexcept {
    return frontend == Xenbus::unknown || frontend == Xenbus::initialising || frontend == Xenbus::closed;
}

}  // namespace

Vbd::Vbd(Host& host, const ipc::VbdAddress& address, bool plugged)
    : host_(host), address_(address), plugged_(plugged), unplug_timer_(host.loop, [this] {
          if (unplug_done_)
              std::exchange(unplug_done_, nullptr)(
                  error_reply(std::make_error_code(std::errc::timed_out), "the guest does not let it go"));
      }) {}

Vbd::Vbd(Host& host, const VbdRecord& record) : Vbd(host, record.backend, record.plugged) {
    image_ = record.image;
    if (record.tap) tap_ = {*record.tap, record.image};
    socket_ = record.socket;
    next_ = record.next;
    now_.offered = true;
    find_tapdisk();
}

Vbd::~Vbd() = default;

const XenStore& Vbd::store() const {
    if (!host_.store) throw_error(std::make_error_code(std::errc::not_connected), "xenstored is away");
    return *host_.store;
}

std::string Vbd::file(const char* suffix) const {
    return host_.options.run_directory + '/' + address_.file_name() + suffix;
}

// What xenstore says.

bool Vbd::claimed() const {
    return address_.kind == ipc::VbdAddress::Kind::vbd3 || store().read(node("tapdisk/owner")) == owner_name;
}

void Vbd::node_changed(const std::string& below) noexcept {
    if (below == "state" || below == "online") {
        stale_.backend = true;  // a toolstack writes both at once, and the events come in any order
    } else {
        all_changed();
    }
}

/// False: it is not there, or not known to be.
bool Vbd::observe_directory() {
    const auto path = store().read(node("frontend"));
    if (!path) {
        if (!store_lost_ || released_) now_.owned = false;
        return false;
    }
    if (store_lost_ && !store().read(*path + "/state")) return false;
    store_lost_ = false;
    now_.owned = !released_ && claimed();
    if (path->starts_with("/local/domain/" + std::to_string(address_.domain) + "/device/")) {
        frontend_path_ = *path;
        watch_frontend(*path + "/state");
    } else {
        set_problem("its frontend is not of its domain: " + *path);
        frontend_path_.clear();
    }
    return true;
}

void Vbd::observe() {
    if (stale_.directory && !observe_directory()) return;
    if (stale_.backend) {
        now_.online = store().read(node("online")) == "1";
        now_.backend = parse_frontend_state(store().read(node("state")));
    }
    if (stale_.frontend) {
        now_.frontend =
            frontend_path_.empty() ? Xenbus::unknown : parse_frontend_state(store().read(frontend_path_ + "/state"));
        if (is_starting_or_gone(now_.frontend)) now_.refused = false;
    }
    stale_ = {.directory = false, .backend = false, .frontend = false};
}

void Vbd::watch_frontend(const std::string& path) {
    if (frontend_watched_ == path) return;
    if (!frontend_watched_.empty()) store().unwatch(frontend_watched_, address_.backend_path());
    store().watch(path, address_.backend_path());
    frontend_watched_ = path;
}

void Vbd::look() {
    if (tapdisk_gone_) {
        tapdisk_.reset();
        tapdisk_gone_ = false;
        if (std::exchange(start_anew_, false)) open_again();
    }
    if (std::exchange(ask_again_, false) && now_.tapdisk == Tapdisk::starting) ask_tapdisk();
    if (!host_.store) return;
    for (int i = 0; i < steps_max; ++i) {
        observe();
        if (store_lost_ && now_.owned) return;  // what it does not know it cannot act on
        if (plugged_ && now_.backend == Xenbus::closed && !now_.online && now_.tapdisk == Tapdisk::none) {
            released_ = true;
            now_.owned = false;
        }
        const Step step = next_step(now_);
        if (step == Step::none || is_too_soon(step)) return settle();
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
            return disconnect();
        case Step::closing:
            return enter(Xenbus::closing);
        case Step::close:
            return enter(Xenbus::closed);
        case Step::end_tapdisk:
            return end_tapdisk();
        case Step::forget:
            return forget();
    }
}

void Vbd::offer() {
    enter(Xenbus::init_wait, [this](const StoreTransaction& nodes) {
        // Looked at again: what vanished must not be made anew, and offers that a frontend has read stand.
        if (!nodes.read(node("frontend"))) return false;
        const bool begins = now_.backend != Xenbus::init_wait;
        if (begins || nodes.read(frontend_path_ + "/state") == "1") write_offers(nodes, address_.backend_path());
        return true;
    });
    now_.offered = true;
    now_.refused = false;
}

/// Writes a state, in one transaction with what goes before it and with what people are told, unless `write_first` says
/// that there is nothing to write to any more.
void Vbd::enter(Xenbus state, const std::function<bool(const StoreTransaction&)>& write_first) {
    Situation then = now_;
    then.backend = state;
    const std::string told = status(then);
    bool written = false;
    store().transact([&](const StoreTransaction& nodes) {
        // What the toolstack wrote meanwhile stands: it may be taking the disk away.
        written = parse_frontend_state(nodes.read(node("state"))) == now_.backend && write_first(nodes);
        if (!written) return;
        if (state != now_.backend) write_state(nodes, address_.backend_path(), state);
        if (told != status_) nodes.write(node("tapdisk/status"), told);
    });
    if (!written) return all_changed();
    now_.backend = state;
    status_ = told;
    problem_told_ = true;
}

void Vbd::enter(Xenbus state) {
    enter(state, [this](const StoreTransaction& nodes) { return nodes.read(node("frontend")).has_value(); });
}

void Vbd::publish() {
    enter(Xenbus::connected, [this](const StoreTransaction& nodes) {
        const auto state = nodes.read(node("state"));
        if (!state || *state == "5" || *state == "6") return false;  // the toolstack takes it away meanwhile
        write_features(nodes, address_.backend_path(), description_.value());
        return true;
    });
    if (now_.backend != Xenbus::connected) return;
    log::info("vbd.connected", {{"vbd", address_.name()}, {"image", image_ ? image_->path : ""}});
}

// The end.

void Vbd::detach(Done done) {
    released_ = true;
    all_changed();
    when_finished_.emplace_back([done = std::move(done)] { done({}); });
    host_.mark(address_);
}

void Vbd::unplug(bool force, Done done) {
    if (!plugged_) throw_error(Errc::wrong_state, address_.name() + ": not made by plug; its toolstack takes it away");
    if (unplug_done_) throw_error(Errc::wrong_state, address_.name() + ": being unplugged already");
    store().transact([&](const StoreTransaction& nodes) {
        if (force) nodes.remove(tapback::frontend_path(address_));
        nodes.write(node("online"), "0");
        if (nodes.read(node("state")) != "6") write_state(nodes, address_.backend_path(), Xenbus::closing);
    });
    unplug_done_ = std::move(done);
    unplug_timer_.arm(unplug_patience);
    host_.mark(address_);
}

void Vbd::domain_died() {
    released_ = true;
    all_changed();
    host_.mark(address_);
}

void Vbd::forget() {
    if (plugged_) {
        remove_nodes(store(), address_);
    } else if (store().read(node("frontend"))) {
        if (now_.backend != Xenbus::closed) enter(Xenbus::closed);
        if (address_.kind == ipc::VbdAddress::Kind::vbd) store().remove(node("tapdisk"));
    }
    if (!frontend_watched_.empty()) store().unwatch(frontend_watched_, address_.backend_path());
    remove_record(host_.options.run_directory, address_);
    ::unlink(file(".recovery").c_str());
    ::unlink(socket_path().c_str());
    host_.files.release(address_.name());
    log::info("vbd.gone", {{"vbd", address_.name()}});
    finished_ = true;
    unplug_timer_.disarm();
    if (unplug_done_) std::exchange(unplug_done_, nullptr)({});
    for (const auto& call : std::exchange(when_finished_, {}))
        call();
}

// What people are told.

void Vbd::set_problem(std::string problem) {
    if (problem == problem_) return;
    problem_ = std::move(problem);
    problem_told_ = false;
    log::warning("vbd.problem", {{"vbd", address_.name()}, {"reason", problem_}});
    if (now_.tapdisk != Tapdisk::starting || !host_.store) return;
    // The script that waits for this image is about to fail: this is what xl prints.
    try {
        store().transact([&](const StoreTransaction& nodes) {
            if (nodes.read(node("frontend"))) nodes.write(node("hotplug-error"), problem_);
        });
    } catch (const std::system_error& error) {
        log::warning("vbd.hotplug-error", {{"vbd", address_.name()}, {"reason", error.what()}});
    }
}

std::string Vbd::describe(const Situation& now) const {
    if (now.backend == Xenbus::closed) return "closed";
    if (now.paused && now.tapdisk == Tapdisk::open) return "paused";
    if (now.link == Link::up) {
        if (now.backend == Xenbus::closing || now.frontend == Xenbus::closing) return "closing";
        return "connected";
    }
    if (now.link == Link::busy) return "connecting or disconnecting";
    switch (now.tapdisk) {
        case Tapdisk::none:
            return image_ ? "held" : "waiting for the image";
        case Tapdisk::starting:
            return "opening the image";
        case Tapdisk::ending:
            return "closing the image";
        case Tapdisk::open:
            break;
    }
    return paced_ ? "waiting, because its guest reconnects too often" : "waiting for the guest";
}

std::string Vbd::status(const Situation& now) const {
    const std::string reason = problem();
    return describe(now) + (reason.empty() ? "" : ": " + reason);
}

/// A problem is told at once. What it is doing is told if it still does so at the next tick: a disk goes through many
/// states within milliseconds, and to write each down would make it wait for xenstored.
void Vbd::settle() {
    if (!problem_told_) return write_status();
    if (now_.owned && !store_lost_ && status(now_) != status_) host_.mark_status(address_);
}

void Vbd::write_status() {
    if (!host_.store || !now_.owned || store_lost_) return;
    const std::string told = status(now_);
    if (told != status_) {
        store().transact([&](const StoreTransaction& nodes) {
            if (nodes.read(node("frontend"))) nodes.write(node("tapdisk/status"), told);
        });
    }
    status_ = told;
    problem_told_ = true;
}

/// A plain disk line names no script: xl runs Xen's "block", in whose place the wrapper was.
bool Vbd::came_by_takeover() const {
    if (address_.kind != ipc::VbdAddress::Kind::vbd || !host_.store) return false;
    const std::string script = host_.store->read(node("script")).value_or("");
    return script.substr(script.rfind('/') + 1) == "block";
}

ipc::VbdEntry Vbd::entry(bool whole) const {
    ipc::VbdEntry entry;
    entry.backend = address_;
    entry.state = describe(now_);
    entry.backend_state = static_cast<std::uint32_t>(now_.backend);
    entry.frontend_state = static_cast<std::uint32_t>(now_.frontend);
    if (tapdisk_ && !tapdisk_gone_) entry.pid = static_cast<std::uint32_t>(tapdisk_->pid());
    entry.image = image_;
    if (std::string reason = problem(); !reason.empty()) entry.problem = std::move(reason);
    if (tap_) entry.minor = tap_->name.minor;
    entry.takeover = came_by_takeover();
    if (whole) {
        entry.description = description_;
    } else if (entry.image) {
        entry.image->options.clear();
    }
    return entry;
}

}  // namespace blktap::tapback
