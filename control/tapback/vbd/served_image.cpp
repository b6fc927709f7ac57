// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vbd/served_image.hpp"

#include "control/tapback/session/tapdisk_process.hpp"
#include "control/tapback/xenbus/backend_nodes.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::tapback {

bool ServedImage::wants_tap() const noexcept {
    const Situation& now = parts_.situation.now();
    return disk_.kind == ipc::VbdAddress::Kind::vbd3 && !plugged_ && !parts_.situation.is_released() && !has_image() &&
           parts_.session.tapdisk() == nullptr && now.owned && now.online && now.backend < Xenbus::closing;
}

/// The disk's `mode` decides whether the image may be written, whoever names it. A disk that its guest saw as read-only
/// stays read-only.
ipc::ImageArguments ServedImage::as_mode_allows(ipc::ImageArguments image) const {
    const auto mode = parts_.store.store() ? parts_.directory.read("mode") : std::nullopt;
    if (has_image()) image.read_only = image.read_only || parts_.session.image()->read_only;
    // Without xenstore a disk that is served goes on as it is.
    if (mode || !has_image()) image.read_only = image.read_only || ipc::is_read_only_mode(mode);
    return image;
}

/// Whether a tapdisk that died left no requests behind: no guest was connected.
bool ServedImage::may_be_replaced() const {
    return parts_.session.state() == Session::none && !plugged_ &&
           (parts_.link.ended_idle() || !parts_.link.has_recovery_log());
}

void ServedImage::attach(const ipc::ImageArguments& image, const std::string& life, Done done) {
    DiskSituation& situation = parts_.situation;
    const BackendDirectory& directory = parts_.directory;
    const bool is_served = (has_image() && !may_be_replaced()) || parts_.session.tapdisk() != nullptr;
    if (is_served || situation.is_released())
        throw_error(Errc::wrong_state, disk_.name() + ": an image is open already");
    if (directory.life().empty()) situation.has_directory();
    if (!situation.now().owned) throw_error(Errc::wrong_state, disk_.name() + ": not claimed");
    if (!life.empty() && life != directory.life()) {
        throw_error(Errc::wrong_state,
                    directory.path() + ": removed, and made anew for another disk, while the disk was being added");
    }
    if (has_image()) {
        parts_.session.forget_image();
        parts_.link.remove_recovery_log();
    }
    parts_.session.start(as_mode_allows(image), std::move(done));
}

void ServedImage::recover(Done done) {
    if (parts_.link.state() == FrontendLink::State::busy)
        throw_error(Errc::wrong_state, disk_.name() + ": the requests of its guest are being answered with errors");
    const bool lacks_rings = !parts_.link.rings() && parts_.situation.now().abandoned;
    if (lacks_rings || (parts_.link.rings() && !parts_.session.description())) {
        throw_error(Errc::wrong_state,
                    disk_.name() + ": its tapdisk was of a version that kept too little for another one to go on");
    }
    parts_.session.replace(SessionEvent::revive, std::move(done));
}

void ServedImage::require_upgradable() const {
    const Session state = parts_.session.state();
    const bool pauses = parts_.session.is_paused() && state != Session::paused;
    const bool serves = (state == Session::open && !pauses) || state == Session::paused;
    if (!serves || parts_.session.pausing().is_unknown() || parts_.situation.is_released())
        throw_error(Errc::wrong_state, disk_.name() + ": no tapdisk serves it now");
    if (parts_.session.description() && parts_.link.can_be_adopted()) return;
    throw_error(Errc::wrong_state, disk_.name() +
                                       ": its tapdisk is of a version that keeps too little for another one to go on; "
                                       "it is replaced when its guest connects the next time");
}

void ServedImage::upgrade(Done done) {
    require_upgradable();
    if (checking_) throw_error(Errc::wrong_state, disk_.name() + ": it is being upgraded already");
    check_ = parts_.tapdisks.can_adopt(parts_.link.log_version(), [this, done](const std::string& reason) {
        checking_ = false;
        if (!reason.empty()) return done(error_reply(make_error_code(Errc::bad_version), reason));
        try {
            require_upgradable();
            parts_.session.replace(SessionEvent::upgrade, done);
        } catch (const std::system_error& error) {
            done(error_reply(error.code(), error.what()));
        }
    });
    checking_ = true;
}

void ServedImage::resume(const ipc::VbdResume& arguments, Done done) {
    if (!has_image()) throw_error(Errc::wrong_state, disk_.name() + ": no image is open");
    const auto image = as_mode_allows(arguments.image.value_or(*parts_.session.image_asked_for()));
    parts_.session.pausing().resume(image, arguments.image.has_value(), arguments.accept_loss, std::move(done));
}

void ServedImage::resize(std::uint64_t size_bytes, Done done) {
    call(ipc::Resize{size_bytes}, {}, [this, done = std::move(done)](const ipc::Reply& reply) {
        try {
            if (reply.error_code.empty()) resized(reply.result.get<ipc::DeviceDescription>());
        } catch (const std::system_error& error) {
            // The disk is larger; the guest learns it when it connects the next time.
            const std::string reason = error.what();
            return done(error_reply(error.code(), "resized, but the guest was not told: " + reason));
        }
        done(reply);
    });
}

void ServedImage::resized(const ipc::DeviceDescription& device) {
    parts_.session.described(device);
    log::info("vbd.resized", {{"vbd", disk_.name()}, {"sectors", std::to_string(device.size_sectors)}});
    if (parts_.situation.now().link != Situation::Link::up) return;
    // Writing the state, even unchanged, makes a frontend read the size again.
    const std::string& path = parts_.directory.path();
    parts_.directory.transact([&](const StoreTransaction& nodes) {
        if (parse_frontend_state(nodes.read(parts_.directory.node("state"))) != Xenbus::connected) return;
        write_features(nodes, path, device);
        write_state(nodes, path, Xenbus::connected);
    });
}

}  // namespace blktap::tapback
