// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/session/disk_session.hpp"

#include <algorithm>
#include <unistd.h>
#include <utility>

#include "control/tapback/session/tapdisk_process.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::tapback {
namespace {

constexpr Nanoseconds retry_delay_min = std::chrono::seconds(1);
constexpr Nanoseconds retry_delay_max = std::chrono::seconds(16);

const DiskSession::Done nobody = [](const ipc::Reply&) {};

/// Returns the event for a tapdisk's answer about its state. `only_reads`: the tapdisk came from block-tap and its disk
/// is read-only.
SessionEvent event_of(const ipc::DiskState& disk, bool only_reads,
                      const std::optional<ipc::DeviceDescription>& device) {
    if (disk.state == ipc::DiskState::State::closed) return SessionEvent::says_closed;
    // Xen's block-tap script opens every image for writing, and writes the disk's mode later.
    if (only_reads && device && !device->read_only && !disk.connected) return SessionEvent::says_too_open;
    return disk.state == ipc::DiskState::State::paused ? SessionEvent::says_paused : SessionEvent::says_open;
}

/// If writing fails, the old record suffices for the next tapback.
void try_to_record(const DiskSession::Hooks& hooks, const std::string& disk) noexcept {
    try {
        hooks.write_record();
    } catch (const std::exception& error) {
        log::error("record", {{"vbd", disk}, {"reason", error.what()}});
    }
}

}  // namespace

DiskSession::DiskSession(Places places, const ipc::VbdAddress& disk, Hooks hooks)
    : places_(std::move(places)),
      disk_(disk),
      hooks_(std::move(hooks)),
      pausing_(image_, places_.files, disk_.name(), pause_hooks()),
      retry_timer_(places_.loop, [this] { retry(); }),
      retry_delay_(retry_delay_min) {}

DiskSession::~DiskSession() = default;

// The machine.

SessionFacts DiskSession::facts() const {
    return {.may_revive = tap_ && image() && !revived_ && hooks_.may_revive(),
            .reopens = tap_.has_value(),
            .has_process = tapdisk_ != nullptr};
}

void DiskSession::handle(SessionEvent event) {
    const SessionTurn turn = next_turn(state_, event, facts());
    state_ = turn.state;
    perform(turn.step);
    hooks_.changed();
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
            return ask_later();
        case SessionStep::look_for_it:
            return find();
        case SessionStep::open_image:
            return open();
        case SessionStep::reopen_image:
            return reopen();
        case SessionStep::serve:
            return tapdisk_->call(ipc::Watch{}, {}, [this](const ipc::Reply& reply) {
                if (reply.error_code.empty()) hooks_.problems(reply.result.get<ipc::Problems>());
            });
        case SessionStep::terminate:
            retry_timer_.disarm();
            places_.files.refuse_open(disk_.name());
            return tapdisk_->terminate();
        case SessionStep::forget_image:
            return forget_image();
    }
}

// A tapdisk that is found.

void DiskSession::restore(const VbdRecord& record) {
    image_.set(record.image, record.next);
    if (record.tap) tap_ = {*record.tap, record.image};
    socket_ = record.socket;
    process_ = record.process;
    find();
}

TapdiskHandle::Hooks DiskSession::tapdisk_hooks() {
    return {.open_file =
                [this](FileRequest request) {
                    const auto& image = image_.asked_for();
                    if (!image) throw_error(Errc::wrong_state, request.file().path + ": no image was asked for");
                    places_.files.open(disk_.name(), ipc::open_arguments(*image, true), std::move(request));
                },
            .ended =
                [this] {
                    if (state_ != Session::ending) return gone();
                    // Until the storage has closed its files no other disk can have them.
                    places_.files.forget(disk_.name(), [this] { gone(); });
                },
            .problems = [this](const ipc::Problems& problems) { hooks_.problems(problems); },
            .lost = [this](const std::string& reason) { lost(reason); }};
}

PauseControl::Hooks DiskSession::pause_hooks() {
    return {.tapdisk = [this]() -> TapdiskHandle& { return require(); },
            .state = [this] { return state_; },
            .happened = [this](SessionEvent event) { handle(event); },
            .changed = [this] { hooks_.changed(); },
            .write_record = [this] { hooks_.write_record(); },
            .try_to_record = [this] { try_to_record(hooks_, disk_.name()); }};
}

TapdiskHandle& DiskSession::require() const {
    if (!tapdisk_) throw_error(Errc::wrong_state, disk_.name() + ": no image is open");
    return *tapdisk_;
}

void DiskSession::find() {
    try {
        tapdisk_ = places_.tapdisks.find(process_, socket_path(), tapdisk_hooks());
    } catch (const std::system_error& error) {
        return tell_lost(std::string("its tapdisk cannot be looked for: ") + error.what());
    }
    if (!tapdisk_) {
        handle(SessionEvent::missing);
        if (state_ == Session::none) hooks_.problem("its tapdisk ended while tapback was away");
        return hooks_.ended(state_ == Session::none ? End::was_away : End::revives);
    }
    if (std::exchange(process_, tapdisk_->id()) != tapdisk_->id()) try_to_record(hooks_, disk_.name());
    handle(SessionEvent::found);
}

void DiskSession::take(const VbdTap& tap, const std::string& socket, std::unique_ptr<TapdiskHandle>& process) {
    tap_ = tap;
    image_.set(tap.image);
    socket_ = socket;
    process_ = process->id();
    try {
        hooks_.write_record();
    } catch (const std::system_error&) {
        tap_.reset();
        image_.reset();
        socket_.clear();
        process_.reset();
        throw;
    }
    hooks_.problem("");
    tapdisk_ = std::move(process);
    tapdisk_->set_hooks(tapdisk_hooks());
    log::info("vbd.paired", {{"vbd", disk_.name()}, {"pid", std::to_string(tapdisk_->pid())}});
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

void DiskSession::ask_later() {
    retry_timer_.arm(retry_delay_);
    retry_delay_ = std::min(retry_delay_ * 2, retry_delay_max);
}

void DiskSession::lost(const std::string& reason) {
    if (state_ == Session::none || state_ == Session::ending || state_ == Session::reviving) return;
    // The opening of the image fails.
    if (state_ == Session::opening) return handle(SessionEvent::unanswered);
    tell_lost("its tapdisk, process " + std::to_string(tapdisk_->pid()) + ", runs but cannot be asked: " + reason);
}

/// Also asks a tapdisk whose answer to a pause was lost, until it says that it has paused.
void DiskSession::retry() {
    if (state_ != Session::open) return handle(SessionEvent::retry);
    if (!pausing_.is_unknown()) return;
    pausing_.look([this](const ipc::Reply&) {
        if (state_ == Session::open && pausing_.is_unknown()) ask_later();
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
    const ipc::DiskState disk = ipc::disk_state(stats.result);
    const bool is_closed = disk.state == ipc::DiskState::State::closed;
    if (!is_closed && disk.image && !image_.is_next(disk) && !image_.is_now(disk))
        return tell_lost("its tapdisk, process " + std::to_string(tapdisk_->pid()) + ", says that it serves " +
                         disk.image->path + ", which it was not asked for");
    retry_delay_ = retry_delay_min;
    if (std::exchange(told_lost_, false)) hooks_.problem("");
    if (!is_closed) {
        const bool is_news = image_.next().has_value();
        image_.is_next(disk) ? image_.change(*image_.next()) : image_.keep();
        if (is_news) try_to_record(hooks_, disk_.name());
        if (disk.image && disk.image->device) description_ = disk.image->device;
    }
    hooks_.found(disk.connected);
    handle(event_of(disk, tap_ && image()->read_only, description_));
    if (state_ == Session::paused) pausing_.has_paused([] {});
    if (state_ == Session::open && pausing_.is_unknown()) ask_later();
    if (state_ != Session::open && state_ != Session::paused) return;
    if (!is_paused() && places_.files.count(disk_.name()) == 0 && !std::exchange(asked_for_files_, true))
        places_.files.take(disk_.name(), ipc::open_arguments(*image(), true), socket_path(), tapdisk_->pid(), [] {});
    log::info("vbd.found", {{"vbd", disk_.name()}, {"pid", std::to_string(tapdisk_->pid())}});
}

// A tapdisk that is started.

/// Starts a tapdisk for the image that is set. Errors: throws std::system_error, and the image stays set.
void DiskSession::spawn() {
    hooks_.problem("");
    process_.reset();
    hooks_.write_record();
    tapdisk_ = places_.tapdisks.start(socket_path(), tapdisk_hooks());
    process_ = tapdisk_->id();
    try_to_record(hooks_, disk_.name());  // without the process in it the next tapback asks who listens on the socket
}

void DiskSession::begin(const ipc::ImageArguments& image, Done done) {
    retired_.reset();
    image_.set(image);
    try {
        spawn();
    } catch (const std::system_error&) {
        image_.reset();
        tap_.reset();
        hooks_.remove_record();
        throw;
    }
    done_ = std::move(done);
    handle(SessionEvent::started);
}

void DiskSession::start(const ipc::ImageArguments& image, Done done) {
    tap_.reset();
    begin(image, std::move(done));
}

void DiskSession::share(const VbdTap& tap) {
    tap_ = tap;
    begin(tap.image, nobody);
}

void DiskSession::open() {
    tapdisk_->call(ipc::Open{ipc::open_arguments(image().value(), true)}, {},
                   [this, done = std::exchange(done_, nullptr)](const ipc::Reply& reply) { opened(reply, done); });
}

void DiskSession::reopen() {
    tapdisk_->call(ipc::Close{}, {}, [this](const ipc::Reply& reply) {
        places_.files.release(disk_.name());
        if (state_ != Session::opening) return;  // the disk was given up meanwhile
        // The tapdisk still works on the same request of an earlier tapback.
        if (is_error(reply, Errc::wrong_state)) return handle(SessionEvent::not_now);
        if (!reply.error_code.empty()) return opened(reply, nobody);
        open();
    });
}

void DiskSession::opened(const ipc::Reply& reply, const Done& done) {
    // The end of the tapdisk follows, and another one is started.
    if (is_error(reply, Errc::peer_closed) && facts().may_revive) return;
    // Nobody waits: the image is opened again, and the storage process of an earlier tapback may not have let go of it.
    if (!done && ipc::error_code_named(reply.error_code) == std::errc::device_or_resource_busy) {
        hooks_.problem(reply.error_message);
        return handle(SessionEvent::not_now);
    }
    if (!reply.error_code.empty())
        return not_opened(ipc::error_code_named(reply.error_code), reply.error_message, done);
    try {
        description_ = reply.result.get<ipc::DeviceDescription>();
    } catch (const std::system_error& error) {
        return not_opened(error.code(), std::string("its tapdisk's answer: ") + error.what(), done);
    }
    if (!done) hooks_.problem("");
    hooks_.opened();
    handle(SessionEvent::opened);
    log::info("vbd.attached", {{"vbd", disk_.name()},
                               {"image", image()->format + ":" + image()->path},
                               {"pid", std::to_string(tapdisk_->pid())}});
    ipc::Reply result;
    result.result = reply.result;
    if (done) done(result);
}

/// Calls `done`, if there is one, when the tapdisk has ended and is removed, so that a retry finds no trace of it.
void DiskSession::not_opened(std::error_code code, const std::string& message, const Done& done) {
    hooks_.problem(message);
    if (done) when_ended_.emplace_back([done, code, message] { done(error_reply(code, message)); });
    handle(SessionEvent::not_opened);
}

// Its end.

void DiskSession::gone() {
    const std::string reason = tapdisk_->end_reason();
    const std::string pid = std::to_string(tapdisk_->pid());
    ::unlink(socket_path().c_str());
    retired_ = std::move(tapdisk_);
    retry_timer_.disarm();
    description_.reset();
    pausing_.reset();
    told_lost_ = false;
    const bool asked = state_ == Session::ending;
    handle(SessionEvent::ended);
    const End how = asked ? End::asked : state_ == Session::reviving ? End::revives : End::held;
    if (how == End::revives) places_.files.release(disk_.name());
    if (how == End::held) {
        hooks_.problem("its tapdisk " + reason);
        log::error("tapdisk.died",
                   {{"vbd", disk_.name()}, {"pid", pid}, {"reason", reason}, {"state", "the disk is held"}});
    }
    hooks_.ended(how);
    for (const auto& call : std::exchange(when_ended_, {}))
        call();
}

void DiskSession::forget_image() {
    retry_timer_.disarm();
    image_.reset();
    process_.reset();
    hooks_.remove_record();
    places_.files.forget(disk_.name());
}

/// block-tap knows nothing of a tapback that was killed in the middle: what was never connected can begin again.
void DiskSession::tidy() {
    retired_.reset();
    if (state_ != Session::reviving || retry_timer_.armed()) return;
    revived_ = true;
    socket_.clear();  // the old tapdisk may still be about to remove its own socket
    try {
        spawn();
    } catch (const std::system_error& error) {
        hooks_.problem(error.what());
        return handle(SessionEvent::not_opened);
    }
    done_ = nobody;
    handle(SessionEvent::started);
}

}  // namespace blktap::tapback
