// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// PauseControl: has a disk's tapdisk close its image, and go on later with the same image or another one. If tapback's
// connection is lost before the answer, a pause may still take effect, and a resume may have opened either image.
// Neither is guessed: the tapdisk is asked. What is about to be asked for is in the disk's record first: whoever goes
// on where tapback or the tapdisk dies must not open an image that an operator has got back.
//
// Tested by tests/unit/tapback/session/disk_session_requests_test.cpp.
#pragma once

#include <functional>
#include <string>

#include "control/tapback/session/session_image.hpp"
#include "control/tapback/session/session_machine.hpp"
#include "control/tapback/session/tapdisk_handle.hpp"
#include "control/tapback/storage/image_files.hpp"

namespace blktap::tapback {

class PauseControl {
  public:
    using Done = std::function<void(const ipc::Reply&)>;
    /// What the session provides.
    struct Hooks {
        /// The tapdisk. Throws Errc::wrong_state: there is none.
        std::function<TapdiskHandle&()> tapdisk;
        std::function<Session()> state;
        std::function<void(SessionEvent event)> happened;
        /// Called when is_asked() has changed, or the answer to a request was lost.
        std::function<void()> changed;
        /// Throws std::system_error: the tapdisk must not be paused or resumed now.
        std::function<void()> require_settled;
        /// Writes the disk's record. May throw std::system_error.
        std::function<void()> write_record;
        /// Writes the disk's record; a failure is logged.
        std::function<void()> try_to_record;
    };

    /// `image` and `files` outlive this. `disk`: the disk's name, as its files' owner in `files`.
    PauseControl(SessionImage& image, ImageFiles& files, const std::string& disk, Hooks hooks);

    // Errors of all functions: throw std::system_error (Errc::wrong_state: there is no tapdisk, or it may have either
    // of two other images; the record's: nothing was asked for); other errors are replies.
    void pause(Done done);
    /// A paused tapdisk opens `image`. Any other one retries its waiting requests, and is sent the image only with
    /// `name_image`.
    void resume(const ipc::ImageArguments& image, bool name_image, bool accept_loss, Done done);
    /// Asks the tapdisk whether it is paused: an `open` session becomes `paused` then, and the other way round. One
    /// that is open says which image it has. `then` gets the answer to "stats".
    void look(Done then);
    /// The tapdisk has closed its image: tapback closes the image's files too, then calls `then`.
    void has_paused(ImageFiles::Then then);
    /// The tapdisk's process has ended.
    void reset() noexcept { pausing_ = Pausing::none; }

    /// Whether a pause was asked for and the answer is still to come.
    bool is_asked() const noexcept { return pausing_ == Pausing::asked; }
    /// Whether the answer to a pause was lost: the tapdisk may still pause.
    bool is_unknown() const noexcept { return pausing_ == Pausing::unknown; }
    /// Whether the tapdisk may be paused, for the record.
    bool may_pause() const noexcept { return pausing_ != Pausing::none; }

  private:
    enum class Pausing : std::uint8_t { none, asked, unknown };
    bool is_paused() const { return hooks_.state() == Session::paused || is_asked(); }
    void paused(const ipc::Reply& reply, const Done& done);
    void not_paused(const ipc::Reply& reply, const Done& done);
    void require_no_other(const ipc::ImageArguments& image) const;
    void resume_with(const ipc::ImageArguments& image, bool name_image, bool accept_loss, const Done& done);
    /// `another`: the image that was to replace the tapdisk's own, or null.
    void resumed(const ipc::Reply& reply, const ipc::ImageArguments* another, const Done& done);

    SessionImage& image_;
    ImageFiles& files_;
    const std::string disk_;
    const Hooks hooks_;
    Pausing pausing_ = Pausing::none;
};

}  // namespace blktap::tapback
