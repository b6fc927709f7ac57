// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/storage/storage_link.hpp"

#include "libblktap/base/log.hpp"

namespace blktap::tapback {

StorageLink::StorageLink(EventLoop& loop, ipc::MessageSocket socket) {
    socket.set_patience(Nanoseconds{0});
    channel_.emplace(std::move(socket));
    watch_.emplace(loop, channel_->fd(), EPOLLIN, [this](std::uint32_t) { receive(); });
}

StorageLink::~StorageLink() = default;

void StorageLink::add(Job job) {
    jobs_.push_back(std::move(job));
    if (!channel_) return lose("it has ended");
    if (jobs_.size() == 1) start_first();
}

void StorageLink::start_first() {
    const Job& job = jobs_.front();
    try {
        std::vector<int> descriptors;
        if (job.descriptor >= 0) descriptors.push_back(job.descriptor);
        first_number_ = channel_->send_request(job.name, job.arguments, descriptors);
    } catch (const std::system_error& error) {
        lose(error.what());
    }
}

void StorageLink::receive() {
    try {
        while (channel_) {
            const auto message = channel_->next();
            if (!message) return;
            handle(*message);
        }
    } catch (const std::exception& error) {
        lose(error.what());
    }
}

void StorageLink::handle(const ipc::Parsed& message) {
    if (jobs_.empty()) throw_error(Errc::bad_message, "it speaks without being asked");
    if (message.request) {
        std::optional<std::system_error> refusal;
        try {
            jobs_.front().ask(*message.request);
        } catch (const std::system_error& error) {
            refusal = error;
        }
        if (refusal) return channel_->reply_error(message.request->id, refusal->code(), refusal->what());
        return channel_->reply(message.request->id, ipc::Json::object());
    }
    if (message.reply->id != first_number_) throw_error(Errc::bad_message, "it answers what nobody asked");
    const Done done = std::move(jobs_.front().done);
    jobs_.pop_front();
    if (!jobs_.empty()) start_first();
    done(*message.reply);
}

void StorageLink::lose(const std::string& reason) {
    watch_.reset();
    channel_.reset();
    if (jobs_.empty()) return;
    log::warning("storage", {{"reason", reason}, {"state", "its storage process is lost"}});
    ipc::Reply reply;
    reply.error_code = ipc::error_code_name(Errc::peer_closed);
    reply.error_message = "the process that opens its files has ended (" + reason + ')';
    for (const Job& job : std::exchange(jobs_, {}))
        job.done(reply);
}

}  // namespace blktap::tapback
