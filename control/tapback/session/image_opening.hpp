// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ImageOpening: has a session's tapdisk open the image, and tells who waits for that how it ended.
//
// Tested by tests/unit/tapback/session/disk_session_test.cpp.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "control/tapback/session/session_image.hpp"
#include "control/tapback/session/session_machine.hpp"
#include "control/tapback/session/session_tapdisk.hpp"
#include "control/tapback/storage/image_files.hpp"

namespace blktap::tapback {

class ImageOpening {
  public:
    using Done = std::function<void(const ipc::Reply&)>;
    /// What the session provides.
    struct Hooks {
        std::function<void(SessionEvent event)> happened;
        /// Sets the reason why the image is not served; empty: it is.
        std::function<void(const std::string& problem)> problem;
        /// Whether another tapdisk takes the place of one that died before it answered.
        std::function<bool()> may_revive;
        /// Whether the tapdisk ends when the image did not open.
        std::function<bool()> ends;
        /// Called before the event `opened`.
        std::function<void(const ipc::DeviceDescription& device)> opened;
    };

    /// `owner`: of the image's files. All references outlive this.
    ImageOpening(const std::string& owner, SessionTapdisk& tapdisk, const SessionImage& image, ImageFiles& files,
                 Hooks hooks);

    /// Who waits for the next open(), if anybody does; `done` gets its result. If the tapdisk ends with the failure,
    /// `done` is called after that, so that a second attempt finds no trace of it.
    void wait(Done done) { done_ = std::move(done); }
    /// Asks the tapdisk to open the image.
    void open();
    /// Asks it to close the image first.
    void reopen(std::function<bool()> still_wanted);
    /// The tapdisk has ended, and its disk knows that.
    void ended();

  private:
    void opened(const ipc::Reply& reply, const Done& done);
    void failed(std::error_code code, const std::string& message, const Done& done);

    const std::string& owner_;
    SessionTapdisk& tapdisk_;
    const SessionImage& image_;
    ImageFiles& files_;
    const Hooks hooks_;
    Done done_;  ///< null: nobody waits; the image is opened again
    std::vector<std::function<void()>> when_ended_;
};

}  // namespace blktap::tapback
