// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/session/revival.hpp"

#include <utility>

#include "control/tapback/session/tapdisk_process.hpp"

namespace blktap::tapback {
namespace {

/// Errors that go away by themselves: the dead tapdisk's event channels, or its image, are about to be released.
bool is_temporary(const ipc::Reply& reply) {
    const std::error_code code = ipc::error_code_named(reply.error_code);
    return code == std::errc::device_or_resource_busy || code == std::errc::resource_unavailable_try_again ||
           code == std::errc::not_enough_memory || code == std::errc::too_many_files_open ||
           code == std::errc::too_many_files_open_in_system || code == std::errc::timed_out;
}

[[noreturn]] void throw_successor_comes(const std::string& disk) {
    throw_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                disk + ": its tapdisk has died, and another one is about to go on");
}

}  // namespace

void throw_if_not_now(Session state, const std::string& disk) {
    if (state == Session::reviving || state == Session::upgrading) throw_successor_comes(disk);
    if (state != Session::asking && state != Session::lost) return;
    throw_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                disk + ": its tapdisk is being looked for");
}

Revival::Revival(SessionTapdisk& tapdisk, SessionImage& image, Hooks hooks)
    : tapdisk_(tapdisk), image_(image), hooks_(std::move(hooks)) {}

/// Whether the session has left the state, or the answer was lost: then the tapdisk's end, or its lost connection, is
/// reported by itself.
bool Revival::is_of_no_use(const ipc::Reply& reply) const {
    return !hooks_.is_wanted() || is_error(reply, Errc::peer_closed);
}

void Revival::go_on(const ipc::DeviceDescription& told) {
    tapdisk_->call(ipc::Stats{}, {}, [this, told](const ipc::Reply& reply) {
        if (is_of_no_use(reply)) return;
        if (!reply.error_code.empty()) return later(reply.error_message);
        try {
            step(ipc::disk_state(reply.result), told);
        } catch (const std::system_error& error) {
            later(error.what());
        }
    });
}

void Revival::require_settled(const std::string& disk) const {
    if (under_way_ && !waits_for_image_) throw_successor_comes(disk);
}

void Revival::step(const ipc::DiskState& disk, const ipc::DeviceDescription& told) {
    switch (disk.state) {
        case ipc::DiskState::State::open:
            image_.settle(disk);
            hooks_.resumed(disk.image && disk.image->device ? *disk.image->device : told);
            return hooks_.happened(SessionEvent::opened);
        case ipc::DiskState::State::closed: {
            const ipc::OpenArguments image = ipc::open_arguments(image_.asked_for().value(), true);
            const std::vector<UniqueFd> logs = tapdisk_.local_logs().open();
            return tapdisk_->call(ipc::Recover{image, told}, numbers_of(logs), [this, told](const ipc::Reply& reply) {
                if (is_of_no_use(reply)) return;
                reply.error_code.empty() ? go_on(told) : refused(reply);
            });
        }
        case ipc::DiskState::State::paused:
            break;
    }
    if (disk.recovering == false) {  // an operator has paused it since
        hooks_.release_files();
        return hooks_.happened(SessionEvent::pause);
    }
    const auto adopts = [this, told](const ipc::Reply& reply) { adopted(reply, told); };
    if (!disk.connected && hooks_.adopt(adopts)) return;
    hooks_.stays_paused() ? hooks_.happened(SessionEvent::pause) : resume();
}

void Revival::adopted(const ipc::Reply& reply, const ipc::DeviceDescription& told) {
    if (is_of_no_use(reply)) return;
    if (reply.error_code.empty()) return go_on(told);
    is_temporary(reply) ? later(reply.error_message) : refused(reply);
}

/// Whatever keeps the image from being opened, the guest's requests wait for it in the tapdisk, and an operator may
/// name another path.
void Revival::resume() {
    ipc::Resume request;
    const ipc::ImageArguments image = image_.asked_for().value();
    request.image = ipc::open_arguments(image, true);
    tapdisk_->call(request, {}, [this, image](const ipc::Reply& reply) {
        if (is_of_no_use(reply)) return;
        waits_for_image_ = !reply.error_code.empty();
        if (waits_for_image_ && !is_temporary(reply)) hooks_.release_files();
        if (waits_for_image_) return later(reply.error_message);
        try {
            hooks_.resumed(reply.result.get<ipc::DeviceDescription>());
        } catch (const std::system_error& error) {
            return later(error.what());
        }
        image_.change(image);
        hooks_.happened(SessionEvent::opened);
    });
}

void Revival::later(const std::string& reason) {
    hooks_.problem(reason);
    hooks_.happened(SessionEvent::not_now);
}

void Revival::refused(const ipc::Reply& reply) {
    hooks_.problem("its tapdisk has died, and another one cannot go on: " + reply.error_message);
    fail(reply.error_message);
    hooks_.happened(SessionEvent::refused);
}

bool Revival::end() {
    for (const Done& done : std::exchange(waiting_, {}))
        done({});
    return std::exchange(under_way_, false);
}

void Revival::fail(const std::string& reason) {
    under_way_ = false;
    for (const Done& done : std::exchange(waiting_, {}))
        done(error_reply(make_error_code(Errc::wrong_state), reason));
}

}  // namespace blktap::tapback
