// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// DiskSession: one image in one tapdisk, from its start, or from its being found again, to its end. session_machine.hpp
// decides the steps; this class performs them, and keeps state that must outlive tapback in the disk's record.
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
#include <vector>

#include "control/tapback/session/pause_control.hpp"
#include "control/tapback/session/session_image.hpp"
#include "control/tapback/session/session_machine.hpp"
#include "control/tapback/session/tapdisk_handle.hpp"
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
        revives,   ///< another tapdisk opens it
        held,      ///< it is kept, but not served
        was_away,  ///< the same, for a tapdisk that ended while tapback did not run
    };
    struct Hooks {
        /// The session's state changed: look at the disk.
        std::function<void()> changed;
        /// Writes the disk's record, which includes this session's state. May throw std::system_error.
        std::function<void()> write_record;
        std::function<void()> remove_record;
        /// Sets the reason why the disk is not served; empty: it is served.
        std::function<void(const std::string& problem)> problem;
        /// Whether a tapdisk that has ended may be replaced by a new one.
        std::function<bool()> may_revive;
        /// Called when "open" has succeeded.
        std::function<void()> opened;
        /// Called when a tapdisk was found; `connected`: whether it reports connected rings.
        std::function<void(bool connected)> found;
        std::function<void(const ipc::Problems& problems)> problems;
        std::function<void(End how)> ended;
    };
    struct Places {
        EventLoop& loop;
        TapdiskSource& tapdisks;
        ImageFiles& files;
        std::string run_directory;
    };

    /// A session without a tapdisk. `disk`: the owner of the image's files. All of `places` outlives this.
    DiskSession(Places places, const ipc::VbdAddress& disk, Hooks hooks);
    DiskSession(const DiskSession&) = delete;
    DiskSession& operator=(const DiskSession&) = delete;
    /// Leaves the tapdisk running.
    ~DiskSession();

    /// Restores the session of an earlier tapback: finds the tapdisk, or finds that it has ended.
    void restore(const VbdRecord& record);
    /// Starts a tapdisk and opens the image; calls `done` with the result. Only in state `none`; forgets an image that
    /// was held. Errors: throws std::system_error if tapdisk or record cannot be made; nothing has changed.
    void start(const ipc::ImageArguments& image, Done done);
    /// The same for a second disk of a name of block-tap.
    void share(const VbdTap& tap);
    /// Takes ownership of a tapdisk that has its image open; `socket` is its file's name. Errors: throws
    /// std::system_error, and `process` stays the caller's.
    void take(const VbdTap& tap, const std::string& socket, std::unique_ptr<TapdiskHandle>& process);
    /// Ends the tapdisk; no-op if there is none, or its process is not known.
    void end() { handle(SessionEvent::end); }
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
    void described(const ipc::DeviceDescription& device) { description_ = device; }

    Session state() const noexcept { return state_; }
    /// Also true while a pause is under way: a frontend that connects now waits.
    bool is_paused() const noexcept { return state_ == Session::paused || pausing_.is_asked(); }
    /// Null if there is no tapdisk, or it has ended.
    const TapdiskHandle* tapdisk() const noexcept { return tapdisk_.get(); }
    const std::optional<ipc::ImageArguments>& image() const noexcept { return image_.now(); }
    const std::optional<ipc::DeviceDescription>& description() const noexcept { return description_; }
    /// Null unless the tapdisk came through take() or share().
    const VbdTap* tap() const noexcept { return tap_ ? &*tap_ : nullptr; }
    /// Writes the session's part of the disk's record. Only with an image.
    void put_into(VbdRecord& record) const {
        record.image = image_.now().value();
        record.next = image_.next();
        record.process = process_;
        record.socket = socket_;
        if (tap_) record.tap = tap_->name;
    }
    std::string socket_path() const {
        return places_.run_directory + '/' + (socket_.empty() ? disk_.file_name() + ".sock" : socket_);
    }

  private:
    void handle(SessionEvent event);
    void perform(SessionStep step);
    SessionFacts facts() const;
    TapdiskHandle& require() const;
    TapdiskHandle::Hooks tapdisk_hooks();
    PauseControl::Hooks pause_hooks();
    void find();
    void ask();
    void ask_later();
    void retry();
    void answered(const ipc::Reply& stats);
    void lost(const std::string& reason);
    void tell_lost(const std::string& problem);
    void begin(const ipc::ImageArguments& image, Done done);
    void spawn();
    void open();
    void reopen();
    void opened(const ipc::Reply& reply, const Done& done);
    void not_opened(std::error_code code, const std::string& message, const Done& done);
    void gone();

    const Places places_;
    const ipc::VbdAddress disk_;
    const Hooks hooks_;
    Session state_ = Session::none;
    SessionImage image_;
    PauseControl pausing_;
    std::optional<VbdTap> tap_;
    std::string socket_;  ///< the tapdisk's file in the run directory; empty: the usual one
    std::unique_ptr<TapdiskHandle> tapdisk_;
    std::unique_ptr<TapdiskHandle> retired_;  ///< a tapdisk that has ended; tidy() destroys it
    std::optional<ProcessId> process_;        ///< of `tapdisk_`, or of an earlier tapback's tapdisk
    std::optional<ipc::DeviceDescription> description_;
    Done done_;  ///< told when the image is open; null: nobody waits, it is opened again
    EventLoop::Timer retry_timer_;
    Nanoseconds retry_delay_;
    bool told_lost_ = false;        ///< the reported problem is that the tapdisk does not answer
    bool revived_ = false;          ///< replaced once: not a second time
    bool asked_for_files_ = false;  ///< only once: when descriptors are short, the answer costs the connection
    std::vector<std::function<void()>> when_ended_;
};

}  // namespace blktap::tapback
