// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/session/image_opening.hpp"

#include <utility>

#include "control/tapback/session/tapdisk_process.hpp"

namespace blktap::tapback {
ImageOpening::ImageOpening(const std::string& owner, SessionTapdisk& tapdisk, const SessionImage& image,
                           ImageFiles& files, Hooks hooks)
    : owner_(owner), tapdisk_(tapdisk), image_(image), files_(files), hooks_(std::move(hooks)) {}

void ImageOpening::open() {
    tapdisk_->call(ipc::Open{ipc::open_arguments(image_.now().value(), true)}, {},
                   [this, done = std::exchange(done_, nullptr)](const ipc::Reply& reply) { opened(reply, done); });
}

void ImageOpening::reopen(std::function<bool()> still_wanted) {
    tapdisk_->call(ipc::Close{}, {}, [this, still_wanted = std::move(still_wanted)](const ipc::Reply& reply) {
        files_.release(owner_);
        if (!still_wanted()) return;
        // The tapdisk still works on the same request of an earlier tapback.
        if (is_error(reply, Errc::wrong_state)) return hooks_.happened(SessionEvent::not_now);
        if (!reply.error_code.empty())
            return failed(ipc::error_code_named(reply.error_code), reply.error_message, nullptr);
        open();
    });
}

void ImageOpening::opened(const ipc::Reply& reply, const Done& done) {
    // The end of the tapdisk follows, and another one is started.
    if (!done && is_error(reply, Errc::peer_closed) && hooks_.may_revive()) return;
    // Nobody waits: the image is opened again, and the storage process of an earlier tapback may not have let go of it.
    if (!done && ipc::error_code_named(reply.error_code) == std::errc::device_or_resource_busy) {
        hooks_.problem(reply.error_message);
        return hooks_.happened(SessionEvent::not_now);
    }
    if (!reply.error_code.empty()) return failed(ipc::error_code_named(reply.error_code), reply.error_message, done);
    try {
        hooks_.opened(reply.result.get<ipc::DeviceDescription>());
    } catch (const std::system_error& error) {
        return failed(error.code(), std::string("its tapdisk's answer: ") + error.what(), done);
    }
    if (!done) hooks_.problem("");
    hooks_.happened(SessionEvent::opened);
    ipc::Reply result;
    result.result = reply.result;
    if (done) done(result);
}

void ImageOpening::failed(std::error_code code, const std::string& message, const Done& done) {
    hooks_.problem(message);
    const auto tell = [done, code, message] {
        if (done) done(error_reply(code, message));
    };
    const bool ends = hooks_.ends();
    if (ends) when_ended_.emplace_back(tell);
    // An image that nobody waits for was served before, or is another disk's: it is not forgotten.
    hooks_.happened(done ? SessionEvent::not_opened : SessionEvent::refused);
    if (!ends) tell();
}

void ImageOpening::ended() {
    for (const auto& tell : std::exchange(when_ended_, {}))
        tell();
}

}  // namespace blktap::tapback
