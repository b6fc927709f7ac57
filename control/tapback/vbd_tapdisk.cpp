// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Vbd and its session: what it is told to serve, and what follows from what becomes of its tapdisk.
#include "control/tapback/vbd.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::tapback {
namespace {

using Link = Situation::Link;

/// As long as a disk that is being taken away waits for its tapdisk to give back the rings, before it is ended: longer
/// than storage is slow, and toolstacks wait 10 seconds.
constexpr Nanoseconds disconnect_patience = std::chrono::seconds(30);

Situation::Tapdisk tapdisk_of(Session session) noexcept {
    switch (session) {
        case Session::none:
        case Session::reviving:
            break;
        case Session::opening:
        case Session::asking:
        case Session::lost:
            return Situation::Tapdisk::starting;
        case Session::open:
        case Session::paused:
            return Situation::Tapdisk::open;
        case Session::ending:
            return Situation::Tapdisk::ending;
    }
    return Situation::Tapdisk::none;
}

}  // namespace

DiskSession::Hooks Vbd::session_hooks() {
    return {.changed = [this] { changed(); },
            .write_record = [this] { write_record(); },
            .remove_record = [this] { remove_record(host_.options.run_directory, address_); },
            .problem = [this](const std::string& problem) { set_problem(problem); },
            .may_revive = [this] { return !released_ && !link_.has_recovery_log(); },
            .opened = [this] { forget_hotplug_error(); },
            .found =
                [this](bool connected) {
                    stale_.frontend = true;  // are they its rings still?
                    link_.found(connected);
                },
            .problems = [this](const ipc::Problems& problems) { problems_.see(problems); },
            .ended =
                [this](DiskSession::End how) {
                    problems_.forget_storage();
                    link_.tapdisk_ended(how, domain_dead_);
                }};
}

FrontendLink::Hooks Vbd::link_hooks() {
    return {.changed = [this] { changed(); },
            .changed_later =
                [this] {
                    gather();
                    host_.mark_later(address_);
                },
            .write_record =
                [this] {
                    if (has_image()) try_to_record();
                },
            .problem = [this](const std::string& problem) { set_problem(problem); }};
}

void Vbd::changed() {
    gather();
    host_.mark(address_);
}

/// What its parts say, beside what the nodes do.
void Vbd::gather() {
    const Session session = session_.state();
    now_.tapdisk = tapdisk_of(session);
    now_.paused = session_.is_paused();
    link_.put_into(now_, session == Session::asking || session == Session::lost);
}

// What it is to serve.

void Vbd::pair(const VbdTap& tap, const std::string& socket, std::unique_ptr<TapdiskHandle>& process) {
    session_.take(tap, socket, process);
}

void Vbd::share(const VbdTap& tap) {
    session_.share(tap);
}

void Vbd::report(const std::string& problem) {
    if (problem == problems_.reason()) return;
    set_problem(problem);
    host_.mark(address_);
}

bool Vbd::wants_tap() const noexcept {
    return address_.kind == ipc::VbdAddress::Kind::vbd3 && !plugged_ && !released_ && !has_image() &&
           session_.tapdisk() == nullptr && now_.owned && now_.online && now_.backend < Xenbus::closing;
}

/// Who may write is the disk's own `mode`, whoever names the image; and what its guest was told to be read-only stays
/// so.
ipc::ImageArguments Vbd::as_mode_allows(ipc::ImageArguments image) const {
    const auto mode = host_.session.store() ? directory_.read("mode") : std::nullopt;
    if (has_image()) image.read_only = image.read_only || session_.image()->read_only;
    // Without xenstore a disk that is served goes on as it is.
    if (mode || !has_image()) image.read_only = image.read_only || ipc::is_read_only_mode(mode);
    return image;
}

void Vbd::attach(const ipc::ImageArguments& image, const std::string& life, Done done) {
    if ((has_image() && !may_be_replaced()) || session_.tapdisk() != nullptr || released_)
        throw_error(Errc::wrong_state, address_.name() + ": an image is open already");
    if (directory_.life().empty()) has_directory();
    if (!now_.owned) throw_error(Errc::wrong_state, address_.name() + ": not claimed");
    if (!life.empty() && life != directory_.life()) {
        throw_error(Errc::wrong_state,
                    directory_.path() + ": removed, and made anew for another disk, while the disk was being added");
    }
    if (has_image()) {
        session_.forget_image();
        link_.remove_recovery_log();
    }
    session_.start(as_mode_allows(image), std::move(done));
}

/// Nobody's requests wait for the image of a tapdisk that died: no guest was connected.
bool Vbd::may_be_replaced() const {
    return session_.state() == Session::none && !plugged_ && (link_.ended_idle() || !link_.has_recovery_log());
}

void Vbd::pause(Done done) {
    session_.pausing().pause(std::move(done));
}

void Vbd::resume(const ipc::VbdResume& arguments, Done done) {
    if (!has_image()) throw_error(Errc::wrong_state, address_.name() + ": no image is open");
    const auto image = as_mode_allows(arguments.image.value_or(*session_.image()));
    session_.pausing().resume(image, arguments.image.has_value(), arguments.accept_loss, std::move(done));
}

// Its end.

void Vbd::end_tapdisk() {
    give_up_timer_.disarm();
    session_.end();
}

/// A tapdisk that does not give the rings back, or cannot be asked to, must not keep a disk that is being taken away.
void Vbd::watch_ending() {
    const bool ends = !now_.owned || !now_.online;
    const TapdiskHandle* const tapdisk = session_.tapdisk();
    const bool waits = tapdisk != nullptr && now_.link == Link::busy && session_.state() != Session::ending;
    if (!ends || !waits) return give_up_timer_.disarm();
    if (!tapdisk->is_connected()) {
        if (confirmed(Step::none) && (!now_.owned || !now_.online)) end_tapdisk();
        return;
    }
    if (!give_up_timer_.armed()) give_up_timer_.arm(disconnect_patience);
}

void Vbd::give_up_asking() {
    const TapdiskHandle* const tapdisk = session_.tapdisk();
    if (tapdisk == nullptr || session_.state() == Session::ending || now_.link != Link::busy) return;
    set_problem("its tapdisk, process " + std::to_string(tapdisk->pid()) + ", does not answer, and is ended");
    end_tapdisk();
}

// What outlives it.

void Vbd::write_record() const {
    VbdRecord record{.backend = address_, .plugged = plugged_, .life = directory_.life(), .rings = link_.rings()};
    session_.put_into(record);
    tapback::write_record(host_.options.run_directory, record);
}

void Vbd::try_to_record() noexcept {
    try {
        write_record();
    } catch (const std::exception& error) {
        log::error("record", {{"vbd", address_.name()}, {"reason", error.what()}});
    }
}

}  // namespace blktap::tapback
