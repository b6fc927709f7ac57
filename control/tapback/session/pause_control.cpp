// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/session/pause_control.hpp"

#include <utility>

#include "control/tapback/session/tapdisk_process.hpp"

namespace blktap::tapback {

PauseControl::PauseControl(SessionImage& image, ImageFiles& files, const std::string& disk, Hooks hooks)
    : image_(image), files_(files), disk_(disk), hooks_(std::move(hooks)) {}

void PauseControl::pause(Done done) {
    TapdiskHandle& tapdisk = hooks_.tapdisk();
    hooks_.require_settled();
    const Pausing before = std::exchange(pausing_, Pausing::asked);
    try {
        hooks_.write_record();
    } catch (const std::system_error&) {
        pausing_ = before;
        throw;
    }
    hooks_.changed();
    tapdisk.call(ipc::Pause{}, {}, [this, done = std::move(done)](const ipc::Reply& reply) { paused(reply, done); });
}

void PauseControl::paused(const ipc::Reply& reply, const Done& done) {
    pausing_ = is_error(reply, Errc::peer_closed) ? Pausing::unknown : Pausing::none;
    if (pausing_ == Pausing::unknown) {
        hooks_.changed();
        return done(reply);
    }
    if (is_error(reply, Errc::wrong_state)) return not_paused(reply, done);
    // Any other error is the last flush's: the image is paused all the same.
    const bool failed = !reply.error_code.empty();
    const std::error_code code = ipc::error_code_named(reply.error_code);
    has_paused([done, failed, code, message = reply.error_message] {
        done(failed ? error_reply(code, message) : ipc::Reply{});
    });
}

/// The tapdisk may be paused already, by an earlier request whose answer was lost.
void PauseControl::not_paused(const ipc::Reply& reply, const Done& done) {
    hooks_.changed();
    look([this, done, message = reply.error_message](const ipc::Reply& stats) {
        if (stats.error_code.empty() && hooks_.state() == Session::open) hooks_.try_to_record();
        done(error_reply(make_error_code(Errc::wrong_state), message));
    });
}

void PauseControl::has_paused(ImageFiles::Then then) {
    pausing_ = Pausing::none;
    hooks_.happened(SessionEvent::pause);
    // A kept file would be served after the resume, even if its path names another file by then.
    files_.release(disk_, std::move(then));
}

void PauseControl::look(Done then) {
    hooks_.tapdisk().call(ipc::Stats{}, {}, [this, then = std::move(then)](const ipc::Reply& stats) {
        if (!stats.error_code.empty()) return then(stats);
        try {
            const ipc::DiskState disk = ipc::disk_state(stats.result);
            const bool pauses = disk.state == ipc::DiskState::State::paused;
            if (pauses && hooks_.state() == Session::open) has_paused([] {});
            const bool opened = disk.state == ipc::DiskState::State::open && hooks_.state() == Session::paused;
            if (image_.settle(disk)) hooks_.try_to_record();
            if (opened) hooks_.happened(SessionEvent::resume);  // by an earlier request whose answer was lost
        } catch (const std::system_error& error) {
            return then(error_reply(error.code(), error.what()));
        }
        then(stats);
    });
}

void PauseControl::require_no_other(const ipc::ImageArguments& image) const {
    if (image_.may_ask_for(image)) return;
    throw_error(Errc::wrong_state, disk_ + ": its tapdisk had " + image_.now()->path + ", was asked to open " +
                                       image_.next()->path + " and has not said whether it did; name one of these");
}

/// If the answer to a pause was lost, the tapdisk may be paused although the session's state is `open`: so it is asked
/// first. A paused tapdisk is always sent its image: else it would open the kept file, whatever the path names by now.
void PauseControl::resume(const ipc::ImageArguments& image, bool name_image, bool accept_loss, Done done) {
    if (name_image) require_no_other(image);
    if (is_paused()) return resume_with(image, true, accept_loss, done);
    look([this, image, name_image, accept_loss, done = std::move(done)](const ipc::Reply& stats) {
        if (!stats.error_code.empty()) return done(stats);
        ipc::ImageArguments chosen = image;
        if (!name_image) {
            chosen = image_.asked_for().value();  // the tapdisk's answer may have changed it
            chosen.read_only = chosen.read_only || image.read_only;
        }
        try {
            resume_with(chosen, name_image || is_paused(), accept_loss, done);
        } catch (const std::system_error& error) {
            done(error_reply(error.code(), error.what()));
        }
    });
}

void PauseControl::resume_with(const ipc::ImageArguments& image, bool name_image, bool accept_loss, const Done& done) {
    TapdiskHandle& tapdisk = hooks_.tapdisk();
    hooks_.require_settled();
    if (name_image) require_no_other(image);
    ipc::Resume request;
    request.accept_loss = accept_loss;
    const bool another = name_image && (image_.next() || image != image_.now());
    if (name_image) request.image = ipc::open_arguments(image, true);
    if (another) {
        const SessionImage before = image_;
        image_.ask_for(image);
        try {
            hooks_.write_record();  // the next tapback must know both images
        } catch (const std::system_error&) {
            image_ = before;
            throw;
        }
    }
    tapdisk.call(request, {}, [this, image, another, done](const ipc::Reply& reply) {
        resumed(reply, another ? &image : nullptr, done);
    });
}

void PauseControl::resumed(const ipc::Reply& reply, const ipc::ImageArguments* another, const Done& done) {
    // The tapdisk has either of the two images; its next answer says which.
    if (is_error(reply, Errc::peer_closed)) {
        hooks_.changed();
        return done(reply);
    }
    const bool has_resumed = reply.error_code.empty();
    // Something else is under way, and may be the opening of either image.
    const bool is_unsure = another != nullptr && is_error(reply, Errc::wrong_state) && image_.next();
    if (another != nullptr && !is_unsure) has_resumed ? image_.change(*another) : image_.keep();
    // A refused image's files must not stay locked, nor be served later, when its path may name another file.
    const bool is_refused = !has_resumed && !is_error(reply, Errc::wrong_state);
    if (is_refused && hooks_.state() != Session::open) files_.release(disk_);
    has_resumed ? hooks_.happened(SessionEvent::resume) : hooks_.changed();
    if (another != nullptr) hooks_.try_to_record();
    done(reply);
    if (is_unsure) look([](const ipc::Reply&) {});
}

}  // namespace blktap::tapback
