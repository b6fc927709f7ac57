// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/session/disk_session.hpp"

#include <algorithm>
#include <utility>

#include "control/tapback/session/tapdisk_process.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::tapback {
DiskSession::DiskSession(Places places, Owner owner, Hooks hooks)
    : owner_(std::move(owner)),
      files_(places.files),
      hooks_(std::move(hooks)),
      pausing_(image_, files_, owner_.name, pause_hooks()),
      tapdisk_({places.loop, places.tapdisks, std::move(places.run_directory)}, owner_.socket,
               {.of_tapdisk = [this] { return tapdisk_hooks(); }, .retry = [this] { retry(); }}),
      opening_(owner_.name, tapdisk_, image_, files_, opening_hooks()),
      revival_(tapdisk_, image_, revival_hooks()),
      deaths_(places.loop.clock(), owner_.name, places.deaths_max) {}

DiskSession::~DiskSession() = default;

SessionFacts DiskSession::facts() const {
    return {.is_disks = owner_.is_disk,
            .has_image = image().has_value(),
            .may_revive = owner_.is_disk && image() && deaths_.may_go_on() && hooks_.may_revive(),
            .knows_device = description_.has_value(),
            .recovers = revival_.is_under_way(),
            .reopens = tap_.has_value(),
            .has_process = tapdisk_.get() != nullptr};
}

void DiskSession::handle(SessionEvent event) {
    const SessionTurn turn = next_turn(state_, event, facts());
    state_ = turn.state;
    if (const auto pauses = paused_after(state_, event)) {
        const bool was_reviving = state_ != Session::upgrading && revival_.end();
        if (std::exchange(paused_, *pauses) != *pauses || was_reviving) hooks_.try_to_record();
    }
    perform(turn.step);
    hooks_.changed();
}

void DiskSession::end() {
    if (state_ != Session::reviving) return handle(SessionEvent::end);
    handle(SessionEvent::end);
    revival_.fail(owner_.name + ": was taken away");
    hooks_.ended(End::asked);
}

void DiskSession::perform(SessionStep step) {
    switch (step) {
        case SessionStep::none:
        case SessionStep::hold:
        case SessionStep::revive:  // done by tidy(), when the old handle can be destroyed
            return;
        case SessionStep::ask:
            return ask();
        case SessionStep::ask_later:
            return tapdisk_.ask_later();
        case SessionStep::look_for_it:
            return find();
        case SessionStep::recover:
            return revival_.go_on(description_.value());
        case SessionStep::open_image:
            return opening_.open();
        case SessionStep::reopen_image:
            return opening_.reopen([this] { return state_ == Session::opening; });
        case SessionStep::serve:
            if (!owner_.is_disk) return;  // the disk that gets the tapdisk subscribes
            tapdisk_.give_logs();
            return tapdisk_->call(ipc::Watch{}, {}, [this](const ipc::Reply& reply) {
                if (reply.error_code.empty()) hooks_.problems(reply.result.get<ipc::Problems>());
            });
        case SessionStep::terminate:
            tapdisk_.stop_asking();
            files_.refuse_open(owner_.name);
            return tapdisk_->terminate();
        case SessionStep::forget_image:
            return forget_image();
        case SessionStep::drop_image:
            image_.reset();
            return files_.release(owner_.name);
    }
}

// A tapdisk that is found.

void DiskSession::restore(const VbdRecord& record) {
    if (!record.image.path.empty()) image_.set(record.image, record.next);
    if (record.tap) tap_ = {*record.tap, record.image};
    description_ = record.device;
    paused_ = record.paused;
    deaths_.restore(record.deaths, record.held);
    if (record.recovering && record.device) revival_.begin();
    tapdisk_.restore(record.socket, record.process);
    find();
}

TapdiskHandle::Hooks DiskSession::tapdisk_hooks() {
    return {.open_file =
                [this](FileRequest request) {
                    const auto& image = image_.asked_for();
                    if (!image) throw_error(Errc::wrong_state, request.file().path + ": no image was asked for");
                    files_.open(owner_.name, ipc::open_arguments(*image, true), std::move(request));
                },
            .ended =
                [this] {
                    if (state_ != Session::ending) return gone();
                    // Until the storage has closed its files no other disk can have them.
                    files_.forget(owner_.name, [this] { gone(); });
                },
            .problems = [this](const ipc::Problems& problems) { hooks_.problems(problems); },
            .lost = [this](const std::string& reason) { lost(reason); }};
}

PauseControl::Hooks DiskSession::pause_hooks() {
    return {.tapdisk = [this]() -> TapdiskHandle& { return require(); },
            .state = [this] { return state_; },
            .happened = [this](SessionEvent event) { handle(event); },
            .changed = [this] { hooks_.changed(); },
            .require_settled = [this] { revival_.require_settled(owner_.name); },
            .write_record = hooks_.write_record,
            .try_to_record = hooks_.try_to_record};
}

ImageOpening::Hooks DiskSession::opening_hooks() {
    return {.happened = [this](SessionEvent event) { handle(event); },
            .problem = [this](const std::string& problem) { hooks_.problem(problem); },
            .may_revive = [this] { return facts().may_revive; },
            .ends = [this] { return owner_.is_disk; },
            .opened =
                [this](const ipc::DeviceDescription& device) {
                    described(device);
                    hooks_.opened();
                    log::info("image.opened", {{"by", owner_.name},
                                               {"image", image()->format + ":" + image()->path},
                                               {"pid", tapdisk_.pid_text()}});
                }};
}

Revival::Hooks DiskSession::revival_hooks() {
    return {.happened = [this](SessionEvent event) { handle(event); },
            .problem = [this](const std::string& problem) { hooks_.problem(problem); },
            .is_wanted = [this] { return state_ == Session::recovering; },
            .stays_paused = [this] { return paused_; },
            .adopt = [this](const Done& done) { return hooks_.adopt(done); },
            .release_files = [this] { files_.release(owner_.name); },
            .resumed =
                [this](const ipc::DeviceDescription& device) {
                    description_ = device;
                    hooks_.problem("");
                    log::info("tapdisk.recovered", {{"vbd", owner_.name}, {"pid", tapdisk_.pid_text()}});
                }};
}

TapdiskHandle& DiskSession::require() const {
    if (tapdisk_.get() != nullptr) return *tapdisk_.get();
    throw_if_not_now(state_, owner_.name);
    const bool is_held = state_ == Session::none && image();
    throw_error(Errc::wrong_state,
                owner_.name + (is_held ? ": its tapdisk has died; " + deaths_.cure() : ": no image is open"));
}

void DiskSession::described(const ipc::DeviceDescription& device) {
    if (std::exchange(description_, device) != device) hooks_.try_to_record();
}

void DiskSession::find() {
    using Found = SessionTapdisk::Found;
    Found found{};
    try {
        found = tapdisk_.find();
    } catch (const std::system_error& error) {
        return tell_lost(std::string("its tapdisk cannot be looked for: ") + error.what());
    }
    if (found == Found::nothing) return missing();
    deaths_.go_on();
    if (found == Found::another) hooks_.try_to_record();
    handle(SessionEvent::found);
}

/// One that was held before stays held.
void DiskSession::missing() {
    const bool was_held = !deaths_.held().empty();
    if (!was_held) deaths_.add();
    handle(SessionEvent::missing);
    if (state_ != Session::none) return hooks_.ended(End::revives);
    if (!was_held) deaths_.hold("its tapdisk ended while tapback was away; " + deaths_.cure());
    hooks_.problem(deaths_.held());
    if (image()) hooks_.try_to_record();
    hooks_.ended(End::was_away);
}

void DiskSession::take(const VbdTap& tap, DiskSession& from) {
    tap_ = tap;
    image_.set(tap.image);
    tapdisk_.take(from.tapdisk_);
    try {
        hooks_.write_record();
    } catch (const std::system_error&) {
        from.tapdisk_.take(tapdisk_);
        tap_.reset();
        image_.reset();
        throw;
    }
    from.state_ = Session::none;
    hooks_.problem("");
    log::info("vbd.paired", {{"vbd", owner_.name}, {"pid", tapdisk_.pid_text()}});
    handle(SessionEvent::found);
}

void DiskSession::ask() {
    try {
        tapdisk_->connect();
    } catch (const std::system_error& error) {
        return lost(error.what());
    }
    tapdisk_->call(ipc::Stats{}, {}, [this](const ipc::Reply& reply) { answered(reply); });
}

void DiskSession::lost(const std::string& reason) {
    using enum Session;
    const auto gone_or_going = {none, reviving, upgrading, holding, ending};
    if (std::ranges::find(gone_or_going, state_) != gone_or_going.end()) return;
    // The opening of the image fails.
    if (state_ == Session::opening || state_ == Session::idle) return handle(SessionEvent::unanswered);
    tell_lost("its tapdisk, process " + tapdisk_.pid_text() + ", runs but cannot be asked: " + reason);
}

/// Also asks a tapdisk whose answer to a pause was lost, until it says that it has paused.
void DiskSession::retry() {
    if (state_ != Session::open) return handle(SessionEvent::retry);
    if (!pausing_.is_unknown()) return;
    pausing_.look([this](const ipc::Reply&) {
        if (state_ == Session::open && pausing_.is_unknown()) tapdisk_.ask_later();
    });
}

void DiskSession::tell_lost(const std::string& problem) {
    told_lost_ = true;
    handle(SessionEvent::unanswered);
    hooks_.problem(problem);
}

void DiskSession::answered(const ipc::Reply& stats) {
    if (state_ != Session::asking) return;  // the disk was given up meanwhile
    // An error says nothing about the disk; a lost connection or process is reported by its hook.
    if (!stats.error_code.empty()) {
        if (!is_error(stats, Errc::peer_closed)) lost(stats.error_message);
        return;
    }
    ipc::DiskState disk;
    try {
        disk = ipc::disk_state(stats.result);
    } catch (const std::system_error& error) {
        return owner_.is_disk ? lost(error.what()) : end();
    }
    tapdisk_.answered();
    if (description_) revival_.see(disk);
    if (revival_.is_under_way() && disk.state != ipc::DiskState::State::open) {
        told_lost_ = false;
        if (disk.connected) hooks_.found(true, true);
        return handle(event_of(disk, false, {}));
    }
    const bool is_closed = disk.state == ipc::DiskState::State::closed;
    // A paused one has none, and only names the one that it had, or was to have.
    const bool is_open = disk.state == ipc::DiskState::State::open;
    const bool is_strange = is_open && disk.image && !image_.is_next(disk) && !image_.is_now(disk);
    if (is_strange)
        return owner_.is_disk ? tell_lost("its tapdisk, process " + tapdisk_.pid_text() + ", says that it serves " +
                                          disk.image->path + ", which it was not asked for")
                              : end();
    if (std::exchange(told_lost_, false)) hooks_.problem("");
    if (image_.settle(disk)) hooks_.try_to_record();
    const bool has_changed = !is_closed && disk.image && disk.image->device && description_ &&
                             description_->size_sectors != disk.image->device->size_sectors;
    if (!is_closed && disk.image && disk.image->device) description_ = disk.image->device;
    hooks_.found(disk.connected, has_changed);
    handle(event_of(disk, tap_ && image()->read_only, description_));
    if (state_ == Session::paused) pausing_.has_paused([] {});
    if (state_ == Session::open && pausing_.is_unknown()) tapdisk_.ask_later();
    if (state_ != Session::open && state_ != Session::paused) return;
    if (!is_paused() && files_.count(owner_.name) == 0 && !std::exchange(asked_for_files_, true))
        files_.take(owner_.name, ipc::open_arguments(*image(), true), socket_path(), tapdisk_->pid(),
                    hooks_.files_kept);
    log::info("vbd.found", {{"vbd", owner_.name}, {"pid", tapdisk_.pid_text()}});
}

/// Starts a tapdisk for the image that is set. Errors: throws std::system_error, and the image stays set.
void DiskSession::spawn() {
    hooks_.problem("");
    tapdisk_.forget_process();
    hooks_.write_record();
    tapdisk_.start();
    hooks_.try_to_record();  // without the process in it the next tapback asks who listens on the socket
}

void DiskSession::start(const ipc::ImageArguments& image, Done done, const std::optional<VbdTap>& tap) {
    tapdisk_.tidy();
    tap_ = tap;
    description_.reset();
    image_.set(image);
    deaths_.go_on();
    try {
        spawn();
    } catch (const std::system_error&) {
        image_.reset();
        tap_.reset();
        hooks_.remove_record();
        throw;
    }
    opening_.wait(std::move(done));
    handle(SessionEvent::started);
}

void DiskSession::open_image(const ipc::ImageArguments& image, Done done) {
    throw_if_not_now(state_, owner_.name);
    if (state_ != Session::idle) throw_error(Errc::wrong_state, owner_.name + ": an image was asked for already");
    image_.set(image);
    opening_.wait(std::move(done));
    handle(SessionEvent::open);
}

void DiskSession::gone() {
    const std::string reason = tapdisk_->end_reason();
    const std::string pid = tapdisk_.pid_text();
    tapdisk_.retire();
    pausing_.reset();
    told_lost_ = false;
    const Session before = state_;
    const auto expected = {Session::ending, Session::holding, Session::upgrading};
    const bool died = std::ranges::find(expected, before) == expected.end();
    if (died) deaths_.add();
    handle(SessionEvent::ended);
    const bool asked = before == Session::ending || !owner_.is_disk;
    const End how = asked ? End::asked : state_ == Session::reviving ? End::revives : End::held;
    if (died) deaths_.tell(pid, reason, how == End::revives);
    if (how == End::held) {
        deaths_.hold(died ? deaths_.problem(reason) : deaths_.no_successor());
        if (died) hooks_.problem(deaths_.held());
        hooks_.try_to_record();
    }
    if (how == End::revives) {
        if (!description_) files_.release(owner_.name);
    } else {
        revival_.fail("its tapdisk " + reason);
    }
    hooks_.ended(how);
    opening_.ended();
}

void DiskSession::forget_image() {
    tapdisk_.stop_asking();
    image_.reset();
    description_.reset();
    paused_ = false;
    deaths_.go_on();
    tapdisk_.forget_process();
    tapdisk_.local_logs().remove();
    hooks_.remove_record();
    files_.forget(owner_.name);
}

void DiskSession::replace(SessionEvent why, Done done) {
    const bool revives = why == SessionEvent::revive;
    if (next_turn(state_, why, facts()).state == state_)
        throw_error(Errc::wrong_state, owner_.name + (revives ? ": it is not held" : ": no tapdisk serves it"));
    if (revives) deaths_.forget();
    revival_.wait(std::move(done));
    handle(why);
    if (revives) hooks_.ended(End::revives);
}

void DiskSession::tidy() {
    tapdisk_.tidy();
    if (state_ != Session::reviving || tapdisk_.is_asked_later()) return;
    tapdisk_.use_usual_socket();
    if (description_) revival_.begin();
    try {
        spawn();
    } catch (const std::system_error& error) {
        hooks_.problem(error.what());
        return handle(SessionEvent::not_opened);
    }
    handle(SessionEvent::started);
}

}  // namespace blktap::tapback
