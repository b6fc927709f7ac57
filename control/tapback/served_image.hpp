// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ServedImage: the image that a disk is told to serve, and what is asked of it while it is served. It knows what a disk
// in its situation can be asked, and what its directory in xenstore has to say in it; DiskSession does the rest.
//
// Tested by tests/unit/tapback/served_image_test.cpp and tests/control.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/tapback/backend_directory.hpp"
#include "control/tapback/disk_session.hpp"
#include "control/tapback/disk_situation.hpp"
#include "control/tapback/frontend_link.hpp"

namespace blktap::tapback {

class ServedImage {
  public:
    using Done = std::function<void(const ipc::Reply&)>;
    struct Parts {
        const StoreSession& store;
        const BackendDirectory& directory;
        FrontendLink& link;
        DiskSession& session;
        DiskSituation& situation;
    };

    /// `plugged`: no toolstack made the disk. All of `parts` outlives this.
    ServedImage(Parts parts, const ipc::VbdAddress& disk, bool plugged)
        : parts_(parts), disk_(disk), plugged_(plugged) {}
    ServedImage(const ServedImage&) = delete;
    ServedImage& operator=(const ServedImage&) = delete;

    /// Starts a tapdisk and opens the image. `life`: the mark of the directory that names the image; empty: whichever
    /// is there. Errors: throws Errc::wrong_state; all others are replies.
    void attach(const ipc::ImageArguments& image, const std::string& life, Done done);

    // A tapdisk of Xen's block-tap script.

    /// Takes a tapdisk that has its image open; `socket` is its file's name. An image that is open for writing is
    /// opened again when `tap` says that it is only read. Errors: throws std::system_error, and `process` stays the
    /// caller's.
    void pair(const VbdTap& tap, const std::string& socket, std::unique_ptr<TapdiskHandle>& process) {
        parts_.session.take(tap, socket, process);
    }
    /// Starts a tapdisk of its own on the image of another disk's. Errors: throws std::system_error.
    void share(const VbdTap& tap) { parts_.session.share(tap); }
    /// Null unless its tapdisk came by pair() or share().
    const VbdTap* tap() const noexcept { return parts_.session.tap(); }
    /// Whether a tapdisk may be paired with the disk: it has none, and is not on its way out.
    bool wants_tap() const noexcept;
    bool is_opening() const noexcept { return parts_.situation.now().tapdisk == Situation::Tapdisk::starting; }

    // Of an image that is served. Errors: throw Errc::wrong_state: there is no tapdisk; all others are replies.

    /// Passes a message to the tapdisk.
    template <ipc::DeclaredMessage M>
    void call(const M& message, const std::vector<int>& descriptors, Done done) {
        parts_.session.call(message, descriptors, std::move(done));
    }
    /// Makes the image, the device and what xenstore says of it `size_bytes` long.
    void resize(std::uint64_t size_bytes, Done done);
    /// The requests of the same name of the tapdisk; files are opened, and given up, for them.
    void pause(Done done) { parts_.session.pausing().pause(std::move(done)); }
    void resume(const ipc::VbdResume& arguments, Done done);

  private:
    bool has_image() const noexcept { return parts_.session.image().has_value(); }
    bool may_be_replaced() const;
    ipc::ImageArguments as_mode_allows(ipc::ImageArguments image) const;
    void resized(const ipc::DeviceDescription& device);

    const Parts parts_;
    const ipc::VbdAddress disk_;
    const bool plugged_;
};

}  // namespace blktap::tapback
