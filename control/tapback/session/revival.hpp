// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Revival: has a fresh tapdisk go on where another one died: with its image, its rings and their unanswered requests
// (docs/decisions/0027). It asks the tapdisk what it has, has it do the next step, and asks again. So it can begin at
// any point, also under the next tapback.
//
// Tested by tests/unit/tapback/session/revival_test.cpp, revival_pause_test.cpp.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "control/tapback/session/session_image.hpp"
#include "control/tapback/session/session_machine.hpp"
#include "control/tapback/session/session_tapdisk.hpp"

namespace blktap::tapback {

/// For who asks something of a tapdisk that is not there now. Errors: throws EAGAIN if another one is about to go on,
/// or the disk's own is being looked for.
void throw_if_not_now(Session state, const std::string& disk);

class Revival {
  public:
    using Done = std::function<void(const ipc::Reply&)>;
    /// What the session provides.
    struct Hooks {
        /// `opened`, or `pause` for a disk that was paused: it is over; `refused`: the tapdisk cannot go on;
        /// `not_now`: try again later.
        std::function<void(SessionEvent event)> happened;
        /// Sets the reason why the disk is not served.
        std::function<void(const std::string& problem)> problem;
        /// Whether the session still waits for it.
        std::function<bool()> is_wanted;
        /// Whether the disk was paused, and stays so.
        std::function<bool()> stays_paused;
        /// Has the tapdisk adopt the guest's rings; `done` gets its answer. Returns false if there are none.
        std::function<bool(const Done& done)> adopt;
        /// Closes the image's files: the next attempt opens what the path names then.
        std::function<void()> release_files;
        /// Called before `opened`.
        std::function<void(const ipc::DeviceDescription& device)> resumed;
    };

    /// All references outlive this.
    Revival(SessionTapdisk& tapdisk, SessionImage& image, Hooks hooks);

    /// A tapdisk is about to be started for it.
    void begin() noexcept {
        under_way_ = true;
        waits_for_image_ = false;
    }
    bool is_under_way() const noexcept { return under_way_; }
    /// Takes what the tapdisk says of itself, which counts more than any record: one that was resumed since, and is
    /// paused, was paused by an operator.
    void see(const ipc::DiskState& disk) noexcept {
        if (disk.recovering && disk.state == ipc::DiskState::State::paused) under_way_ = *disk.recovering;
    }
    /// Whether an operator may have the tapdisk pause or resume: one that has not adopted its rings yet would serve
    /// without them. `disk`: for the text. Errors: throws EAGAIN: not yet.
    void require_settled(const std::string& disk) const;
    /// Calls `done` when it is over, or has failed.
    void wait(Done done) { waiting_.push_back(std::move(done)); }
    /// Has the tapdisk do what is left to do. `told`: the device as the guests know it.
    void go_on(const ipc::DeviceDescription& told);
    /// The disk is served, or paused; returns whether a revival was under way.
    bool end();
    /// It cannot be done, or is not wanted any more: tells who waits.
    void fail(const std::string& reason);

  private:
    void step(const ipc::DiskState& disk, const ipc::DeviceDescription& told);
    void resume();
    void adopted(const ipc::Reply& reply, const ipc::DeviceDescription& told);
    bool is_of_no_use(const ipc::Reply& reply) const;
    void refused(const ipc::Reply& reply);
    void later(const std::string& reason);

    SessionTapdisk& tapdisk_;
    SessionImage& image_;
    const Hooks hooks_;
    bool under_way_ = false;
    bool waits_for_image_ = false;  ///< all is done but to open the image, which failed
    std::vector<Done> waiting_;
};

}  // namespace blktap::tapback
