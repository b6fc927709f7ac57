// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// DiskSession: one image in one tapdisk, from its start, or from its being found again, to its end. session_machine.hpp
// decides the steps; this class performs them, and keeps state that must outlive tapback in the disk's record.
//
// It is a disk's, or that of a tapdisk which Xen's block-tap script has made and no disk has yet (taps.hpp): that one
// runs without an image at first, stays when an image does not open, and leaves nothing when it dies.
//
// A tapdisk that dies has a successor, which goes on with its image and its rings (revival.hpp); after too many deaths
// the image is held.
//
// A tapdisk that lives but does not answer serves its guest as before: it is not mistaken for one that has ended, and
// is ended when the disk is given up.
//
// Tested by tests/unit/tapback/session/disk_session_test.cpp.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "control/tapback/session/deaths.hpp"
#include "control/tapback/session/image_opening.hpp"
#include "control/tapback/session/pause_control.hpp"
#include "control/tapback/session/revival.hpp"
#include "control/tapback/session/session_image.hpp"
#include "control/tapback/session/session_machine.hpp"
#include "control/tapback/session/session_tapdisk.hpp"
#include "control/tapback/session/vbd_record.hpp"
#include "control/tapback/storage/image_files.hpp"
#include "libblktap/base/event_loop.hpp"
#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tapback {

/// A tapdisk that Xen's block-tap script made for a disk.
struct VbdTap {
    ipc::TapArguments name{};     ///< the script's name for it
    ipc::ImageArguments image{};  ///< the image as this disk uses it
};

class DiskSession {
  public:
    using Done = std::function<void(const ipc::Reply&)>;

    /// The fate of the image when a tapdisk has ended.
    enum class End : std::uint8_t {
        asked,     ///< the end was requested: the disk has no image any more
        revives,   ///< another tapdisk goes on with it
        held,      ///< it is kept, but not served
        was_away,  ///< the same, for a tapdisk that ended while tapback did not run
    };
    struct Hooks {
        /// The session's state changed: look at the disk.
        std::function<void()> changed;
        /// Writes the disk's record, which includes this session's state. May throw std::system_error.
        std::function<void()> write_record;
        /// The same; a failure is logged, and tried again later.
        std::function<void()> try_to_record;
        std::function<void()> remove_record;
        /// Sets the reason why the disk is not served; empty: it is served.
        std::function<void(const std::string& problem)> problem;
        /// Whether another tapdisk may go on where one has died.
        std::function<bool()> may_revive;
        /// Called when "open" has succeeded.
        std::function<void()> opened;
        /// Called when a tapdisk was found; `connected`: whether it reports connected rings; `has_changed`: its device
        /// is another one than was recorded.
        std::function<void(bool connected, bool has_changed)> found;
        std::function<void(const ipc::Problems& problems)> problems;
        std::function<void(End how)> ended;
        /// Has the tapdisk adopt the rings of the one that died; `done` gets its answer. Returns false if there are
        /// none.
        std::function<bool(const Done& done)> adopt = [](const Done&) { return false; };
        /// Called when the files of a tapdisk that was found are kept; also after this session has gone.
        std::function<void()> files_kept = [] {};
    };
    struct Places {
        EventLoop& loop;
        TapdiskSource& tapdisks;
        ImageFiles& files;
        std::string run_directory;
        unsigned deaths_max = 0;  ///< within a minute; 0: no limit
    };
    struct Owner {
        std::string name;      ///< of the image's files: the disk's, or one of block-tap's tapdisk
        std::string socket;    ///< the usual name of the tapdisk's socket in the run directory
        bool is_disk = false;  ///< false: a tapdisk that no disk has yet
    };

    /// A session without a tapdisk. All of `places` outlives this.
    DiskSession(Places places, Owner owner, Hooks hooks);
    DiskSession(const DiskSession&) = delete;
    DiskSession& operator=(const DiskSession&) = delete;
    /// Leaves the tapdisk running.
    ~DiskSession();

    /// Restores the session of an earlier tapback: finds the tapdisk, or finds that it has ended. A tapdisk that no
    /// disk has may have no image yet: an empty path.
    void restore(const VbdRecord& record);
    /// Starts a tapdisk without an image, which open_image() may give it. Only in state `none`, and for no disk.
    /// Errors: throws std::system_error; nothing has changed.
    void start_idle() {
        tapdisk_.start();
        handle(SessionEvent::started);
    }
    /// Calls `done` with the result. If it is an error, the tapdisk is idle again. Errors: throws Errc::wrong_state:
    /// the tapdisk is not idle; EAGAIN: it is not known yet whether it is.
    void open_image(const ipc::ImageArguments& image, Done done);
    /// Starts a tapdisk and opens the image; calls `done` with the result, if it is set. Only in state `none`; forgets
    /// an image that was held. `tap`: of a second disk of a name of block-tap. Errors: throws std::system_error if
    /// tapdisk or record cannot be made; nothing has changed.
    void start(const ipc::ImageArguments& image, Done done, const std::optional<VbdTap>& tap = {});
    /// Takes the tapdisk of another session, which has its image open. Errors: throws std::system_error, and the
    /// tapdisk stays where it was.
    void take(const VbdTap& tap, DiskSession& from);
    /// Has another tapdisk go on; calls `done` when it does, or cannot. `revive`: with the image that is held, whatever
    /// number of tapdisks died; `upgrade`: in place of the present one. Errors: throws Errc::wrong_state: no image is
    /// held, or served.
    void replace(SessionEvent why, Done done);
    /// Ends the tapdisk; no-op if there is none, or its process is not known.
    void end();
    /// Forgets the held image of a tapdisk that has ended.
    void forget_image();
    /// Destroys the handle of a tapdisk that has ended, and starts another one if it is to be replaced. Not from inside
    /// a hook.
    void tidy();

    /// Pauses and resumes the tapdisk.
    PauseControl& pausing() noexcept { return pausing_; }
    /// Passes a message to the tapdisk. Errors: throws std::system_error (Errc::wrong_state: no tapdisk); others are in
    /// the reply.
    template <ipc::DeclaredMessage M>
    void call(const M& message, const std::vector<int>& descriptors, Done done) {
        require().call(message, descriptors, std::move(done));
    }
    /// Sets the device's description, from the last answer to "connect" or "resize".
    void described(const ipc::DeviceDescription& device);

    Session state() const noexcept { return state_; }
    /// Also true while a pause is under way: a frontend that connects now waits.
    bool is_paused() const noexcept { return state_ == Session::paused || pausing_.is_asked(); }
    /// Null if there is no tapdisk, or it has ended.
    const TapdiskHandle* tapdisk() const noexcept { return tapdisk_.get(); }
    const std::optional<ipc::ImageArguments>& image() const noexcept { return image_.now(); }
    /// The image that was asked for last, of two that the tapdisk may have.
    const std::optional<ipc::ImageArguments>& image_asked_for() const noexcept { return image_.asked_for(); }
    const std::optional<ipc::DeviceDescription>& description() const noexcept { return description_; }
    /// Null unless the tapdisk came through take() or share().
    const VbdTap* tap() const noexcept { return tap_ ? &*tap_ : nullptr; }
    /// Writes the session's part of the disk's record. Only with an image.
    void put_into(VbdRecord& record) const {
        image_.put_into(record.image, record.next);
        record.process = tapdisk_.process();
        record.socket = tapdisk_.socket();
        record.device = description_;
        record.paused = paused_ || pausing_.may_pause();
        record.recovering = revival_.is_under_way();
        record.deaths = deaths_.times();
        record.held = deaths_.held();
        if (tap_) record.tap = tap_->name;
    }
    std::string socket_path() const { return tapdisk_.socket_path(); }

  private:
    void handle(SessionEvent event);
    void perform(SessionStep step);
    SessionFacts facts() const;
    TapdiskHandle::Hooks tapdisk_hooks();
    PauseControl::Hooks pause_hooks();
    ImageOpening::Hooks opening_hooks();
    Revival::Hooks revival_hooks();
    TapdiskHandle& require() const;
    void find();
    void ask();
    void retry();
    void answered(const ipc::Reply& stats);
    void missing();
    void lost(const std::string& reason);
    void tell_lost(const std::string& problem);
    void spawn();
    void gone();

    const Owner owner_;
    ImageFiles& files_;
    const Hooks hooks_;
    Session state_ = Session::none;
    SessionImage image_;
    PauseControl pausing_;
    std::optional<VbdTap> tap_;
    SessionTapdisk tapdisk_;
    ImageOpening opening_;
    Revival revival_;
    Deaths deaths_;
    std::optional<ipc::DeviceDescription> description_;  ///< as guests know it; kept while the image is
    bool told_lost_ = false;                             ///< the reported problem is that the tapdisk does not answer
    bool paused_ = false;           ///< the last known state of the image, over the tapdisk's death
    bool asked_for_files_ = false;  ///< only once: when descriptors are short, the answer costs the connection
};

}  // namespace blktap::tapback
