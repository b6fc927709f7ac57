// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// PauseControl: asks the tapdisk of a disk's session to let go of its image, and to go on with it or with another one.
// An answer may be lost with tapback's connection: then a pause may still come, and a resume may have opened either
// image. Neither is guessed; the tapdisk says it when it is asked.
//
// Tested by tests/unit/tapback/disk_session_requests_test.cpp.
#pragma once

#include <functional>
#include <string>

#include "control/tapback/session_image.hpp"
#include "control/tapback/session_machine.hpp"
#include "control/tapback/storage/image_files.hpp"
#include "control/tapback/tapdisk_handle.hpp"

namespace blktap::tapback {

class PauseControl {
  public:
    using Done = std::function<void(const ipc::Reply&)>;
    /// What its session does for it.
    struct Hooks {
        /// Throws Errc::wrong_state: there is none.
        std::function<TapdiskHandle&()> tapdisk;
        std::function<Session()> state;
        std::function<void(SessionEvent event)> happened;
        /// is_asked() is different, or the answer to a request was lost.
        std::function<void()> changed;
        /// Writes the disk's record. May throw std::system_error.
        std::function<void()> write_record;
        /// The same; what goes wrong is logged.
        std::function<void()> try_to_record;
    };

    /// `image` and `files` outlive this. `disk`: its name, as `files` know it.
    PauseControl(SessionImage& image, ImageFiles& files, const std::string& disk, Hooks hooks);

    // Errors, of all: throw std::system_error (Errc::wrong_state: no tapdisk, or one that has not said which image it
    // has since it was asked for another one); others are replies.
    void pause(Done done);
    /// Paused, the tapdisk opens `image`; otherwise it tries again what waits, and is told of the image only with
    /// `name_image`.
    void resume(const ipc::ImageArguments& image, bool name_image, bool accept_loss, Done done);
    /// Asks a tapdisk that is taken for open whether it is paused; then the session is paused as well. `then` has the
    /// answer to "stats".
    void look(Done then);
    /// The tapdisk has let go of its image: so do we. `then` follows.
    void has_paused(ImageFiles::Then then);
    /// Its process is gone.
    void reset() noexcept { pausing_ = Pausing::none; }

    /// A pause is on its way.
    bool is_asked() const noexcept { return pausing_ == Pausing::asked; }
    /// A pause was asked for, and no answer will come: it may still come to it.
    bool is_unknown() const noexcept { return pausing_ == Pausing::unknown; }

  private:
    enum class Pausing : std::uint8_t { none, asked, unknown };
    bool is_paused() const { return hooks_.state() == Session::paused || is_asked(); }
    void paused(const ipc::Reply& reply, const Done& done);
    void require_no_other(const ipc::ImageArguments& image) const;
    void resume_with(const ipc::ImageArguments& image, bool name_image, bool accept_loss, const Done& done);
    /// `another`: the image that was asked for in place of the one that it had, or null.
    void resumed(const ipc::Reply& reply, const ipc::ImageArguments* another, const Done& done);

    SessionImage& image_;
    ImageFiles& files_;
    const std::string disk_;
    const Hooks hooks_;
    Pausing pausing_ = Pausing::none;
};

}  // namespace blktap::tapback
