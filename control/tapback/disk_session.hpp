// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// DiskSession: one image in one tapdisk, from its start, or from its being found again, to its end. session_machine.hpp
// says what follows on what; this does it, and keeps what must outlive it in the disk's record.
//
// A tapdisk that lives and cannot be asked serves its guest as before: it is not taken for one that ended, and is ended
// when the disk is given up.
//
// Tested by tests/unit/tapback/disk_session_test.cpp.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/tapback/pause_control.hpp"
#include "control/tapback/session_image.hpp"
#include "control/tapback/session_machine.hpp"
#include "control/tapback/storage/image_files.hpp"
#include "control/tapback/tapdisk_handle.hpp"
#include "control/tapback/vbd_record.hpp"
#include "libblktap/base/event_loop.hpp"
#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tapback {

/// Where the tapdisk of a disk came from that Xen's block-tap script made.
struct VbdTap {
    ipc::TapArguments name{};     ///< as the script names it
    ipc::ImageArguments image{};  ///< as it serves this disk
};

class DiskSession {
  public:
    using Done = std::function<void(const ipc::Reply&)>;

    /// What becomes of the image when a tapdisk has ended.
    enum class End : std::uint8_t {
        asked,     ///< nothing: the disk has none any more
        revives,   ///< another tapdisk begins with it
        held,      ///< nobody serves it
        was_away,  ///< the same, of one that ended while tapback was away
    };
    struct Hooks {
        /// Something is different: look at the disk.
        std::function<void()> changed;
        /// Writes the disk's record, in which this session's state is. May throw std::system_error.
        std::function<void()> write_record;
        std::function<void()> remove_record;
        /// Why it does not serve; empty: that is over.
        std::function<void(const std::string& problem)> problem;
        /// Whether a tapdisk that has ended may be replaced by one that begins anew.
        std::function<bool()> may_revive;
        /// The image is open, by "open".
        std::function<void()> opened;
        /// A tapdisk that was found, and what it says about rings.
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

    /// Nothing runs. `disk`: who has the image's files. All of `places` outlives this.
    DiskSession(Places places, const ipc::VbdAddress& disk, Hooks hooks);
    DiskSession(const DiskSession&) = delete;
    DiskSession& operator=(const DiskSession&) = delete;
    /// Leaves the tapdisk running.
    ~DiskSession();

    /// What an earlier tapback wrote down: finds the tapdisk, or finds that it has ended.
    void restore(const VbdRecord& record);
    /// Starts a tapdisk and opens the image; `done` is told. Only in `none`, whatever it held before is forgotten.
    /// Errors: throws std::system_error: no tapdisk, no record; nothing has changed.
    void start(const ipc::ImageArguments& image, Done done);
    /// The same for a second disk of a name of block-tap.
    void share(const VbdTap& tap);
    /// Takes a tapdisk that has its image open; `socket` is its file's name. Errors: throws std::system_error, and
    /// `process` stays the caller's.
    void take(const VbdTap& tap, const std::string& socket, std::unique_ptr<TapdiskHandle>& process);
    /// Ends it. Nothing happens where there is none, or where it is not known.
    void end() { handle(SessionEvent::end); }
    /// The image of a tapdisk that has ended is not served any more.
    void forget_image();
    /// Destroys what is left of a tapdisk that has ended, and starts another one where one is to begin anew. Not from
    /// inside a hook.
    void tidy();

    /// Asks the tapdisk to let go of its image, and to go on.
    PauseControl& pausing() noexcept { return pausing_; }
    /// Errors: throws std::system_error (Errc::wrong_state: no tapdisk); others are replies.
    template <ipc::DeclaredMessage M>
    void call(const M& message, const std::vector<int>& descriptors, Done done) {
        require().call(message, descriptors, std::move(done));
    }
    /// What it is now: as its last answer to "connect", or to "resize".
    void described(const ipc::DeviceDescription& device) { description_ = device; }

    Session state() const noexcept { return state_; }
    /// Also while a pause is on its way: a frontend that comes now waits.
    bool is_paused() const noexcept { return state_ == Session::paused || pausing_.is_asked(); }
    /// Null: none, or one that has ended.
    const TapdiskHandle* tapdisk() const noexcept { return tapdisk_.get(); }
    const std::optional<ipc::ImageArguments>& image() const noexcept { return image_.now(); }
    const std::optional<ipc::DeviceDescription>& description() const noexcept { return description_; }
    /// Null unless its tapdisk came by take() or share().
    const VbdTap* tap() const noexcept { return tap_ ? &*tap_ : nullptr; }
    /// Its part of the disk's record. Only with an image.
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
    std::unique_ptr<TapdiskHandle> retired_;  ///< it has ended; tidy() destroys it
    std::optional<ProcessId> process_;        ///< of `tapdisk_`, or of one that an earlier tapback had
    std::optional<ipc::DeviceDescription> description_;
    Done done_;  ///< of whoever waits for the image to be open
    EventLoop::Timer retry_timer_;
    Nanoseconds retry_delay_;
    bool told_lost_ = false;        ///< the problem is that it cannot be asked
    bool revived_ = false;          ///< not a second time
    bool asked_for_files_ = false;  ///< once: where descriptors are short, the answer costs the connection
    std::vector<std::function<void()>> when_ended_;
};

}  // namespace blktap::tapback
