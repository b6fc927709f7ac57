// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/disk_session.hpp"

#include <algorithm>
#include <unistd.h>
#include <utility>

#include "control/tapback/tapdisk_process.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::tapback {
namespace {

constexpr Nanoseconds retry_delay_min = std::chrono::seconds(1);
constexpr Nanoseconds retry_delay_max = std::chrono::seconds(16);

const DiskSession::Done nobody = [](const ipc::Reply&) {};

/// Whether a tapdisk says that this is its image.
bool has_image(const ipc::DiskState& disk, const ipc::ImageArguments& image) {
    return disk.image && disk.image->format == image.format && disk.image->path == image.path;
}

bool is_error(const ipc::Reply& reply, Errc code) {
    return !reply.error_code.empty() && ipc::error_code_named(reply.error_code) == code;
}

}  // namespace

DiskSession::DiskSession(Places places, const ipc::VbdAddress& disk, Hooks hooks)
    : places_(std::move(places)),
      disk_(disk),
      hooks_(std::move(hooks)),
      retry_timer_(places_.loop, [this] { handle(SessionEvent::retry); }),
      retry_delay_(retry_delay_min) {}

DiskSession::~DiskSession() = default;

// The machine.

SessionFacts DiskSession::facts() const {
    return {.may_revive = tap_ && image_ && !revived_ && hooks_.may_revive(),
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
        case SessionStep::revive:  // by tidy(), when the one that has ended can be destroyed
            return;
        case SessionStep::ask:
            return ask();
        case SessionStep::ask_later:
            retry_timer_.arm(retry_delay_);
            retry_delay_ = std::min(retry_delay_ * 2, retry_delay_max);
            return;
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
    image_ = record.image;
    if (record.tap) tap_ = {*record.tap, record.image};
    socket_ = record.socket;
    process_ = record.process;
    next_ = record.next;
    find();
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
    if (std::exchange(process_, tapdisk_->id()) != tapdisk_->id()) try_to_record();
    handle(SessionEvent::found);
}

void DiskSession::take(const VbdTap& tap, const std::string& socket, std::unique_ptr<TapdiskHandle>& process) {
    tap_ = tap;
    image_ = tap.image;
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

void DiskSession::lost(const std::string& reason) {
    const bool matters =
        state_ == Session::asking || state_ == Session::open || state_ == Session::paused || state_ == Session::lost;
    if (!matters) return;  // whoever waits for it to open has an error, and what is to end does
    tell_lost("its tapdisk, process " + std::to_string(tapdisk_->pid()) + ", runs but cannot be asked: " + reason);
}

void DiskSession::tell_lost(const std::string& problem) {
    told_lost_ = true;
    handle(SessionEvent::unanswered);
    hooks_.problem(problem);
}

void DiskSession::answered(const ipc::Reply& stats) {
    if (state_ != Session::asking) return;  // given up meanwhile
    // No answer says nothing of the disk; that the connection is lost, or the process, is told by its hook.
    if (!stats.error_code.empty()) {
        if (!is_error(stats, Errc::peer_closed)) lost(stats.error_message);
        return;
    }
    const ipc::DiskState disk = ipc::disk_state(stats.result);
    retry_delay_ = retry_delay_min;
    if (std::exchange(told_lost_, false)) hooks_.problem("");
    if (disk.state != ipc::DiskState::State::closed) {
        if (next_ && has_image(disk, *next_)) image_ = next_;
        if (std::exchange(next_, std::nullopt)) try_to_record();
        if (disk.image && disk.image->device) description_ = disk.image->device;
    }
    hooks_.found(disk.connected);
    handle(event_of(disk));
    if (state_ != Session::open && state_ != Session::paused) return;
    keep_files();
    log::info("vbd.found", {{"vbd", disk_.name()}, {"pid", std::to_string(tapdisk_->pid())}});
}

SessionEvent DiskSession::event_of(const ipc::DiskState& disk) const {
    if (disk.state == ipc::DiskState::State::closed) return SessionEvent::says_closed;
    // Xen's block-tap script opens every image for writing, and the disk's mode comes later.
    const bool too_open = tap_ && image_->read_only && description_ && !description_->read_only && !disk.connected;
    if (too_open) return SessionEvent::says_too_open;
    return disk.state == ipc::DiskState::State::paused ? SessionEvent::says_paused : SessionEvent::says_open;
}

void DiskSession::keep_files() {
    if (is_paused() || places_.files.count(disk_.name()) != 0 || std::exchange(asked_for_files_, true)) return;
    places_.files.take(disk_.name(), ipc::open_arguments(*image_, true), socket_path(), tapdisk_->pid(), [] {});
}

// A tapdisk that is started.

void DiskSession::spawn(const ipc::ImageArguments& image) {
    image_ = image;
    hooks_.problem("");
    process_.reset();
    try {
        hooks_.write_record();
        tapdisk_ = places_.tapdisks.start(socket_path(), tapdisk_hooks());
    } catch (const std::system_error&) {
        image_.reset();
        hooks_.remove_record();
        throw;
    }
    process_ = tapdisk_->id();
    try_to_record();  // without its process the next tapback asks who listens on the socket
}

void DiskSession::start(const ipc::ImageArguments& image, Done done) {
    retired_.reset();
    spawn(image);
    done_ = std::move(done);
    handle(SessionEvent::started);
}

void DiskSession::share(const VbdTap& tap) {
    tap_ = tap;
    try {
        start(tap.image, nobody);
    } catch (const std::system_error&) {
        tap_.reset();
        throw;
    }
}

void DiskSession::open() {
    tapdisk_->call(ipc::Open{ipc::open_arguments(image_.value(), true)}, {},
                   [this, done = std::exchange(done_, nobody)](const ipc::Reply& reply) { opened(reply, done); });
}

void DiskSession::reopen() {
    tapdisk_->call(ipc::Close{}, {}, [this](const ipc::Reply& reply) {
        places_.files.release(disk_.name());
        if (state_ != Session::opening) return;  // given up meanwhile
        // An earlier tapback asked for the same, and it is not done yet.
        if (is_error(reply, Errc::wrong_state)) return handle(SessionEvent::not_now);
        if (!reply.error_code.empty()) return opened(reply, nobody);
        done_ = nobody;
        open();
    });
}

void DiskSession::opened(const ipc::Reply& reply, const Done& done) {
    if (!reply.error_code.empty()) {
        // Its end follows, and another one begins.
        if (is_error(reply, Errc::peer_closed) && facts().may_revive) return;
        hooks_.problem(reply.error_message);
        // A retry finds no trace of this one.
        when_ended_.emplace_back([done, code = ipc::error_code_named(reply.error_code), message = reply.error_message] {
            done(error_reply(code, message));
        });
        return handle(SessionEvent::not_opened);
    }
    description_ = reply.result.get<ipc::DeviceDescription>();
    hooks_.opened();
    handle(SessionEvent::opened);
    log::info("vbd.attached", {{"vbd", disk_.name()},
                               {"image", image_->format + ":" + image_->path},
                               {"pid", std::to_string(tapdisk_->pid())}});
    ipc::Reply result;
    result.result = reply.result;
    done(result);
}

// Its end.

/// Until its storage has let go of its files nobody else can have them.
void DiskSession::died() {
    if (state_ != Session::ending) return gone();
    places_.files.forget(disk_.name(), [this] { gone(); });
}

void DiskSession::gone() {
    const std::string reason = tapdisk_->end_reason();
    const std::string pid = std::to_string(tapdisk_->pid());
    ::unlink(socket_path().c_str());
    retired_ = std::move(tapdisk_);
    retry_timer_.disarm();
    description_.reset();
    pausing_ = told_lost_ = false;
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
    image_.reset();
    next_.reset();
    process_.reset();
    hooks_.remove_record();
    places_.files.forget(disk_.name());
}

void DiskSession::tidy() {
    retired_.reset();
    if (state_ == Session::reviving) revive();
}

/// block-tap knows nothing of a tapback that was killed in the middle: what was never connected can begin again.
void DiskSession::revive() {
    revived_ = true;
    socket_.clear();  // the one that ended may still be about to remove its own
    try {
        spawn(image_.value());
    } catch (const std::system_error& error) {
        handle(SessionEvent::not_opened);
        return hooks_.problem(error.what());
    }
    done_ = nobody;
    handle(SessionEvent::started);
}

// What it is asked for.

TapdiskHandle& DiskSession::require() const {
    if (!tapdisk_) throw_error(Errc::wrong_state, disk_.name() + ": no image is open");
    return *tapdisk_;
}

TapdiskHandle::Hooks DiskSession::tapdisk_hooks() {
    return {.open_file =
                [this](FileRequest request) {
                    const auto& image = next_ ? next_ : image_;
                    if (!image) throw_error(Errc::wrong_state, request.file().path + ": no image was asked for");
                    places_.files.open(disk_.name(), ipc::open_arguments(*image, true), std::move(request));
                },
            .ended = [this] { died(); },
            .problems = [this](const ipc::Problems& problems) { hooks_.problems(problems); },
            .lost = [this](const std::string& reason) { lost(reason); }};
}

void DiskSession::pause(Done done) {
    TapdiskHandle& tapdisk = require();
    pausing_ = true;
    hooks_.changed();
    tapdisk.call(ipc::Pause{}, {}, [this, done = std::move(done)](const ipc::Reply& reply) {
        pausing_ = false;
        // Any other error is that of the last flush: the image is paused all the same.
        const bool refused = is_error(reply, Errc::wrong_state) || is_error(reply, Errc::peer_closed);
        refused ? hooks_.changed() : handle(SessionEvent::pause);
        if (refused) return done(reply);
        // Kept, the file would be served again instead of what its path names by then.
        const bool failed = !reply.error_code.empty();
        const std::error_code code = ipc::error_code_named(reply.error_code);
        places_.files.release(disk_.name(), [done, failed, code, message = reply.error_message] {
            done(failed ? error_reply(code, message) : ipc::Reply{});
        });
    });
}

void DiskSession::resume(const ipc::ImageArguments& image, bool name_image, bool accept_loss, Done done) {
    TapdiskHandle& tapdisk = require();
    ipc::Resume request;
    request.accept_loss = accept_loss;
    const bool another = name_image && image != image_;
    if (name_image) request.image = ipc::open_arguments(image, true);
    if (another) {
        next_ = image;  // whoever comes after this tapback must know of both
        try {
            hooks_.write_record();
        } catch (const std::system_error&) {
            next_.reset();
            throw;
        }
    }
    tapdisk.call(request, {}, [this, image, another, done = std::move(done)](const ipc::Reply& reply) {
        const bool resumed = reply.error_code.empty();
        if (another) next_.reset();
        if (another && resumed) image_ = image;
        // What was refused must not stay locked, nor be served when its path names another file by then.
        if (!resumed && is_paused()) places_.files.release(disk_.name());
        resumed ? handle(SessionEvent::resume) : hooks_.changed();
        if (another) try_to_record();
        done(reply);
    });
}

// What outlives it.

/// The record names both images until then, which the next tapback can live with.
void DiskSession::try_to_record() noexcept {
    try {
        hooks_.write_record();
    } catch (const std::exception& error) {
        log::error("record", {{"vbd", disk_.name()}, {"reason", error.what()}});
    }
}

}  // namespace blktap::tapback
