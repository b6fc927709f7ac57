// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/support/machine/second_peer.hpp"

#include <stdexcept>

namespace blktap::testing {

SecondPeer::SecondPeer(VbdHarness& machine, replay::FrontendOptions options) : machine_(machine), options_(options) {
    options_.domain = domain;
    options_.backend_domain = 0;
    connect();
}

void SecondPeer::connect() {
    const fakexen::ActAs guest{domain};
    unanswered_.clear();
    answers_.clear();
    auto frontend = std::make_unique<replay::Frontend>(options_);
    frontends_.push_back(std::move(frontend));
    const fakexen::ActAs backend{0};
    // As the control server: nobody else may have the log of a local ring.
    UniqueFd log = options_.local ? UniqueFd{} : make_anonymous_log_file();
    try {
        this->frontend().connected(machine_.vbd().connect(arguments(), std::move(log), memory()));
    } catch (...) {
        frontends_.pop_back();
        throw;
    }
}

ipc::ConnectArguments SecondPeer::arguments() {
    ipc::ConnectArguments arguments = frontend().connect_arguments();
    arguments.connection = name;
    return arguments;
}

UniqueFd SecondPeer::memory() {
    const std::vector<int> descriptors = frontend().connect_descriptors();
    return descriptors.empty() ? UniqueFd{} : UniqueFd{::fcntl(descriptors.front(), F_DUPFD_CLOEXEC, 0)};
}

void SecondPeer::come_back(UniqueFd memory) {
    if (!memory) memory = this->memory();
    frontend().connected(machine_.vbd().connect(arguments(), {}, std::move(memory), Vbd::Rings::adopted));
}

GuestBuffer SecondPeer::pages(std::size_t count) {
    const fakexen::ActAs guest{domain};
    const replay::FrontendPages shared = frontend().share(static_cast<std::uint32_t>(count) + 1);
    const std::size_t size_bytes = count * page_size_bytes;
    GuestBuffer buffer{shared.bytes().first(size_bytes), {}, shared.bytes().subspan(size_bytes), shared.refs().back()};
    for (std::size_t i = 0; i < count; ++i)
        buffer.segments.push_back({shared.refs()[i], 0, sectors_per_page - 1, 0});
    return buffer;
}

void SecondPeer::put(const ring::RawRequest& request, unsigned queue) {
    frontend().ring(queue).put_request(request);
    unanswered_.insert(request.id);
}

void SecondPeer::send(const ring::RawRequest& request, unsigned queue) {
    put(request, queue);
    frontend().publish(queue);
}

void SecondPeer::take_answers() {
    for (unsigned queue = 0; queue < frontend().queue_count(); ++queue) {
        while (const auto response = frontend().take(queue).value()) {
            if (unanswered_.erase(response->id) == 0) throw std::logic_error("an answer to nothing");
            answers_[response->id] = response->status;
        }
    }
}

std::optional<ring::Status> SecondPeer::answer(std::uint64_t id) {
    take_answers();
    const auto found = answers_.find(id);
    return found == answers_.end() ? std::nullopt : std::optional(found->second);
}

std::size_t SecondPeer::unanswered() {
    take_answers();
    return unanswered_.size();
}

std::error_code SecondPeer::disconnect(ipc::RingsLeft rings) {
    return machine_.finish([this, rings](Vbd::Done done) { machine_.vbd().disconnect(name, rings, std::move(done)); });
}

}  // namespace blktap::testing
