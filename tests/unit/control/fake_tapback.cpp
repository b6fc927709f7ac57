// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/unit/control/fake_tapback.hpp"

#include <algorithm>
#include <list>
#include <poll.h>
#include <sys/eventfd.h>

namespace blktap::testing {

FakeTapback::FakeTapback(Answer answer)
    : socket_(directory_.path("tapback.sock")), answer_(std::move(answer)), end_(::eventfd(0, EFD_CLOEXEC)) {
    if (!end_) throw_system_error("eventfd");
    // Made here, so that a client may connect as soon as this returns.
    auto listener = std::make_unique<ipc::MessageListener>(socket_);
    thread_ = std::thread([this, listener = std::move(listener)] { serve(*listener); });
}

FakeTapback::~FakeTapback() {
    ::eventfd_write(end_.get(), 1);
    thread_.join();
}

void FakeTapback::serve(ipc::MessageListener& listener) {
    std::list<ipc::Channel> clients;
    for (;;) {
        std::vector<pollfd> ready{{end_.get(), POLLIN, 0}, {listener.fd(), POLLIN, 0}};
        for (const auto& client : clients)
            ready.push_back({client.fd(), POLLIN, 0});
        ::poll(ready.data(), ready.size(), -1);
        if (ready[0].revents != 0) return;
        std::size_t index = 2;
        std::erase_if(clients, [&](ipc::Channel& client) { return ready[index++].revents != 0 && !answer(client); });
        if (auto client = listener.accept()) clients.emplace_back(std::move(*client));
    }
}

/// Returns false if the client is gone.
bool FakeTapback::answer(ipc::Channel& client) {
    try {
        while (const auto request = client.next_request()) {
            {
                const std::lock_guard lock(mutex_);
                asked_.push_back({request->name, request->arguments, request->descriptors.size()});
            }
            try {
                client.reply(request->id, answer_(*request));
            } catch (const Silence&) {
                continue;
            } catch (const std::system_error& error) {
                client.reply_error(request->id, error.code(), error.what());
            }
        }
        return true;
    } catch (const std::system_error&) {
        return false;
    }
}

std::vector<FakeTapback::Asked> FakeTapback::asked() const {
    const std::lock_guard lock(mutex_);
    return asked_;
}

std::string FakeTapback::names() const {
    std::string names;
    for (const Asked& asked : this->asked())
        names += (names.empty() ? "" : " ") + asked.request;
    return names;
}

}  // namespace blktap::testing
