// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ServedImage: the requests about a disk's image: attach, resize, pause, resume and others. It checks them against the
// disk's situation and its directory in xenstore; DiskSession does the rest.
//
// Tested by tests/unit/tapback/vbd/served_image_test.cpp and tests/control.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/tapback/session/disk_session.hpp"
#include "control/tapback/vbd/disk_situation.hpp"
#include "control/tapback/xenbus/backend_directory.hpp"
#include "control/tapback/xenbus/frontend_link.hpp"

namespace blktap::tapback {

class ServedImage {
  public:
    using Done = std::function<void(const ipc::Reply&)>;
    struct Parts {
        TapdiskSource& tapdisks;
        const StoreSession& store;
        const BackendDirectory& directory;
        FrontendLink& link;
        DiskSession& session;
        DiskSituation& situation;
    };

    /// `plugged`: "plug" made the disk, no toolstack. All of `parts` outlives this.
    ServedImage(Parts parts, const ipc::VbdAddress& disk, bool plugged)
        : parts_(parts), disk_(disk), plugged_(plugged) {}
    ServedImage(const ServedImage&) = delete;
    ServedImage& operator=(const ServedImage&) = delete;

    /// Starts a tapdisk and opens the image. `life`: the mark of the directory that names the image; empty: any
    /// directory. Errors: throws Errc::wrong_state; all others are replies.
    void attach(const ipc::ImageArguments& image, const std::string& life, Done done);

    // The tapdisk came from Xen's block-tap script.

    /// Takes a tapdisk that has its image open from its session. An image open for writing is opened again if `tap` is
    /// read-only. Errors: throws std::system_error, and the tapdisk stays where it was.
    void pair(const VbdTap& tap, DiskSession& session) { parts_.session.take(tap, session); }
    /// Starts a tapdisk for this disk on the image of another disk. Errors: throws std::system_error.
    void share(const VbdTap& tap) { parts_.session.start(tap.image, nullptr, tap); }
    /// Null unless the tapdisk came by pair() or share().
    const VbdTap* tap() const noexcept { return parts_.session.tap(); }
    /// Whether a tapdisk may be paired with the disk: it has none, and is not on its way out.
    bool wants_tap() const noexcept;
    bool is_opening() const noexcept { return parts_.situation.now().tapdisk == Situation::Tapdisk::starting; }

    /// Has another tapdisk go on with the image of one that died. Errors: throws Errc::wrong_state: none has died, or
    /// what it has left is being answered with errors; all others are replies.
    void recover(Done done);
    /// Has the installed program go on in place of the tapdisk that serves the image, if it can; if not, the tapdisk is
    /// not touched. Errors: throws Errc::wrong_state: none serves it, or it cannot be replaced; all others are replies.
    void upgrade(Done done);

    // For an image that is served. Errors: throw Errc::wrong_state: there is no tapdisk; all others are replies.

    /// Sends a message to the tapdisk.
    template <ipc::DeclaredMessage M>
    void call(const M& message, const std::vector<int>& descriptors, Done done) {
        parts_.session.call(message, descriptors, std::move(done));
    }
    /// Resizes the image and the device to `size_bytes`, and writes the new size to xenstore.
    void resize(std::uint64_t size_bytes, Done done);
    /// Send the tapdisk's requests of these names, and open and close its files.
    void pause(Done done) { parts_.session.pausing().pause(std::move(done)); }
    void resume(const ipc::VbdResume& arguments, Done done);

  private:
    bool has_image() const noexcept { return parts_.session.image().has_value(); }
    bool may_be_replaced() const;
    void require_upgradable() const;
    ipc::ImageArguments as_mode_allows(ipc::ImageArguments image) const;
    void resized(const ipc::DeviceDescription& device);

    const Parts parts_;
    const ipc::VbdAddress disk_;
    const bool plugged_;
    std::unique_ptr<ProgramCheck> check_;  ///< of the last upgrade
    bool checking_ = false;
};

}  // namespace blktap::tapback
