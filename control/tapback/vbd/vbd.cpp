// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vbd/vbd.hpp"

#include <unistd.h>
#include <utility>

#include "control/tapback/xenbus/backend_nodes.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::tapback {
namespace {

using Link = Situation::Link;
using Tapdisk = Situation::Tapdisk;

constexpr int steps_max = 16;  ///< of one look(): a guest that changes its state on and on waits for the next turn

}  // namespace

Vbd::Vbd(Host& host, const ipc::VbdAddress& address, Plugged plugged, const std::string& life)
    : host_(host),
      address_(address),
      plugged_(plugged == Plugged::yes),
      directory_(host.session, address, life),
      record_(host.options.run_directory, address,
              {.gather = [this] { return record(); }, .later = [this] { host_.mark_later(address_); }}),
      session_({host.loop, host.tapdisks, host.files, host.options.run_directory, host.options.deaths_max},
               {address.name(), address.file_name() + ".sock", true}, session_hooks()),
      link_({host.session, host.tapdisks, file(".recovery")}, address, directory_, session_, link_hooks()),
      status_({host.loop, host.problem_hook, host.session}, address, directory_, session_,
              [this] { host_.mark(address_); }),
      situation_({host.session, directory_, link_, session_, status_}, address, [this] { record_.try_to_write(); }),
      image_({host.tapdisks, host.session, directory_, link_, session_, situation_}, address, plugged_),
      own_disk_({host.loop, host.session, host.files, default_device_places()}, address),
      removal_(host.loop, address, directory_, own_disk_, removal_hooks()),
      tapdisk_end_(host.loop, session_, situation_, status_) {}

Vbd::Vbd(Host& host, const VbdRecord& record)
    : Vbd(host, record.backend, record.plugged ? Plugged::yes : Plugged::no, record.life) {
    situation_.set_offered();
    link_.restore(record.rings);
    session_.restore(record);
}

Vbd::~Vbd() = default;

// The parts' hooks.

DiskSession::Hooks Vbd::session_hooks() {
    return {.changed = [this] { changed(); },
            .write_record = [this] { record_.write(); },
            .try_to_record = [this] { record_.try_to_write(); },
            .remove_record =
                [this] {
                    // Only the record tells the next tapback that the nodes are for us to remove.
                    if (!plugged_) record_.remove();
                },
            .problem = [this](const std::string& problem) { status_.set_problem(problem); },
            .may_revive = [this] { return !situation_.is_released() && has_what_a_successor_needs(); },
            .opened = [this] { status_.image_opened(); },
            .found =
                [this](bool connected, bool has_changed) {
                    situation_.frontend_changed();  // the frontend may have made new rings
                    link_.found(connected);
                    if (has_changed) link_.publish_again();
                },
            .problems = [this](const ipc::Problems& problems) { status_.see(problems); },
            .ended =
                [this](DiskSession::End how) {
                    using End = DiskSession::End;
                    status_.tapdisk_ended(how == End::held || how == End::was_away);
                    link_.tapdisk_ended(how, situation_.is_domain_dead());
                },
            .adopt = [this](const Done& done) { return link_.adopt(done); }};
}

/// A tapdisk of an earlier version, and its record, keep less than its successor must know to adopt the rings.
bool Vbd::has_what_a_successor_needs() const {
    if (link_.has_unknown_rings()) return false;
    if (!link_.rings()) return session_.description() || !link_.has_recovery_log();
    return session_.description() && link_.can_be_adopted();
}

FrontendLink::Hooks Vbd::link_hooks() {
    return {
        .changed = [this] { changed(); },
        .changed_later = [this] { changed_later(); },
        .write_record = [this] { record_.write(); },
        .try_to_record = [this] { record_.try_to_write(); },
        .problem = [this](const std::string& problem) { status_.set_problem(problem); },
        .when_io_is_over = [this](const std::function<void()>& then) { host_.files.release(address_.name(), then); }};
}

Removal::Hooks Vbd::removal_hooks() {
    const auto look_at_all = [this] {
        all_changed();
        host_.mark(address_);
    };
    return {.give_up =
                [this, look_at_all] {
                    situation_.release();
                    look_at_all();
                },
            .changed = look_at_all,
            .waits_for_guest =
                [this] {
                    const Situation& now = situation_.now();
                    return now.link != Link::busy && now.tapdisk != Tapdisk::ending;
                }};
}

void Vbd::changed() {
    situation_.gather();
    host_.mark(address_);
}

void Vbd::changed_later() {
    situation_.gather();
    host_.mark_later(address_);
}

void Vbd::domain_died() {
    situation_.domain_died();
    host_.mark(address_);
}

void Vbd::store_lost() noexcept {
    directory_.store_lost();
    link_.forget_watch();
    all_changed();
}

// Steps.

void Vbd::look() {
    record_.look();
    session_.tidy();
    link_.tidy();
    if (!host_.session.store()) return;
    for (int i = 0; i < steps_max; ++i) {
        situation_.observe();
        situation_.set_kernel_waits(kernel_waits());
        situation_.set_forced(removal_.is_overdue());
        const Situation& now = situation_.now();
        if (directory_.is_store_lost() && now.owned) return;  // the nodes are not known
        if (is_unplugged()) situation_.release();
        const Step step = next_step(now);
        if (step == Step::none || is_too_soon(step)) return rest();
        perform(step);
        if (finished_) return;
    }
    host_.mark(address_);
}

/// Whether a disk of "plug" has come to its end: tapback must remove its nodes.
bool Vbd::is_unplugged() {
    const auto ended = [this, &now = situation_.now()] {
        return plugged_ && now.owned && now.backend == Xenbus::closed && !now.online && now.tapdisk == Tapdisk::none;
    };
    return ended() && situation_.confirmed(Step::none) && ended();
}

/// Whether this domain's own kernel still waits for answers from the disk.
bool Vbd::kernel_waits() const {
    const Situation& now = situation_.now();
    if (now.link != Link::up || situation_.is_domain_dead()) return false;
    if (now.owned && now.frontend != Xenbus::unknown) return false;
    if (!own_disk_.is_left_to_kernel()) return false;
    host_.mark_later(address_);
    return true;
}

/// Whether the pace delays this step: only steps that begin a connection are delayed, none that end one.
bool Vbd::is_too_soon(Step step) {
    if (step != Step::offer && step != Step::connect) return false;
    const bool too_soon = !pace_.take(host_.loop.clock().now());
    status_.set_paced(too_soon);
    if (too_soon) host_.mark_later(address_);
    return too_soon;
}

/// Called when no step is to be done now.
void Vbd::rest() {
    tapdisk_end_.watch();
    if (!status_.write_problems(situation_.now())) host_.mark_status(address_);
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
            if (situation_.confirmed(step)) link_.abandon();
            return;
        case Step::closing:
            situation_.enter(step, Xenbus::closing);
            return;
        case Step::close:
            situation_.enter(step, Xenbus::closed);
            return;
        case Step::end_tapdisk:
            if (situation_.confirmed(step)) tapdisk_end_.end();
            return;
        case Step::forget:
            return forget();
    }
}

void Vbd::offer() {
    const bool entered = situation_.enter(Step::offer, Xenbus::init_wait, [this](const StoreTransaction& nodes) {
        // Offers that a frontend may have read stay as they are.
        const Situation& now = situation_.now();
        const bool begins = now.backend != Xenbus::init_wait;
        if (begins || now.frontend == Xenbus::initialising) write_offers(nodes, directory_.path());
    });
    if (!entered) return;
    situation_.set_offered();
    link_.offered();
    situation_.gather();
}

void Vbd::connect() {
    const auto asked = [this](const StoreTransaction& nodes) { return situation_.confirm(Step::connect, nodes); };
    if (!link_.connect(asked)) all_changed();
}

void Vbd::publish() {
    const auto write = [this](const StoreTransaction& nodes) {
        write_features(nodes, directory_.path(), session_.description().value());
    };
    if (!situation_.enter(Step::publish, Xenbus::connected, write)) return;
    link_.published();
    situation_.gather();
    log::info("vbd.connected",
              {{"vbd", address_.name()}, {"image", session_.image() ? session_.image()->path : std::string()}});
}

void Vbd::disconnect() {
    if (!situation_.now().owned && !situation_.is_domain_dead()) situation_.tell_to_close();
    link_.disconnect(situation_.rings_left(removal_.is_by_force()));
}

void Vbd::forget() {
    if (plugged_) {
        remove_nodes(host_.session.require(), address_, directory_.life());
    } else {
        situation_.leave();
    }
    link_.unfollow();
    status_.disk_ended();
    record_.remove();
    ::unlink(file(".recovery").c_str());
    LocalLogFiles(file("")).remove();
    ::unlink(session_.socket_path().c_str());
    log::info("vbd.gone", {{"vbd", address_.name()}});
    finished_ = true;
    host_.files.forget(address_.name(), removal_.finish());
}

// Requests.

void Vbd::report(const std::string& problem) {
    if (status_.set_problem(problem)) host_.mark(address_);
}

void Vbd::detach(Done done) {
    const Situation& now = situation_.now();
    const bool is_served = now.link == Link::up && now.owned && now.online;
    removal_.detach(is_served && !situation_.is_released(), std::move(done));
}

void Vbd::unplug(bool force, Done done) {
    if (!plugged_) throw_error(Errc::wrong_state, address_.name() + ": not made by plug; its toolstack takes it away");
    removal_.unplug(force, std::move(done));
}

// The record, which outlives this tapback.

std::optional<VbdRecord> Vbd::record() const {
    if (!session_.image()) return std::nullopt;
    VbdRecord record{.backend = address_, .plugged = plugged_, .life = directory_.life(), .rings = link_.rings()};
    session_.put_into(record);
    // So that no tapdisk goes on without them.
    if (link_.has_unknown_rings()) record.device.reset();
    return record;
}

std::string Vbd::file(const char* suffix) const {
    return host_.options.run_directory + '/' + address_.file_name() + suffix;
}

}  // namespace blktap::tapback
