// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/ipc/request_server.hpp"

#include <algorithm>

#include "libblktap/base/log.hpp"

namespace blktap::ipc {

struct RequestServer::Client {
    Client(EventLoop& loop, MessageSocket socket, EventLoop::Watch::Handler handler)
        : channel(std::move(socket)), watch(loop, channel.fd(), EPOLLIN, std::move(handler)) {}
    Channel channel;
    EventLoop::Watch watch;
    std::function<void()> hung_up{};
    std::map<std::uint64_t, std::uint64_t> unanswered{};  ///< requests' ids, by our numbers
    bool does_not_read = false;
    std::optional<std::vector<std::string>> allowed{};  ///< names of requests; nullopt: all
};

// Answers.

void Answer::operator()(const Json& result, const std::vector<int>& descriptors) const {
    server_->finish(client_, number_,
                    [&](Channel& channel, std::uint64_t id) { channel.reply(id, result, descriptors); });
}

void Answer::fail(std::error_code code, const std::string& message) const {
    server_->hooks_.refused(message);
    server_->finish(client_, number_,
                    [&](Channel& channel, std::uint64_t id) { channel.reply_error(id, code, message); });
}

void Answer::pass_on(const Reply& reply) const {
    if (reply.error_code.empty()) return (*this)(reply.result);
    fail(error_code_named(reply.error_code), reply.error_message);
}

std::vector<UniqueFd> Call::take_descriptors(const char* request, std::size_t count) {
    if (descriptors.size() != count) {
        throw_error(Errc::bad_message, std::string(request) + ": " + std::to_string(descriptors.size()) +
                                           " descriptors in the message instead of " + std::to_string(count));
    }
    return std::move(descriptors);
}

// Clients.

RequestServer::RequestServer(EventLoop& loop, MessageListener& listener, Hooks hooks)
    : loop_(loop),
      listener_(listener),
      hooks_(std::move(hooks)),
      asked_timer_(loop_,
                   [this] {
                       if (const auto asked = std::exchange(asked_client_, std::nullopt)) take_requests(*asked);
                   }),
      watch_(loop, listener_.fd(), EPOLLIN, [this](std::uint32_t) { accept_clients(); }) {}

RequestServer::~RequestServer() = default;

void RequestServer::accept_clients() {
    for (int i = 0; i < taken_per_wakeup; ++i) {
        auto socket = listener_.accept();
        if (!socket) return;
        add(std::move(*socket));
    }
}

RequestServer::Client& RequestServer::add(MessageSocket socket) {
    const ClientId id = ++last_client_;
    auto client = std::make_unique<Client>(loop_, std::move(socket), [this, id](std::uint32_t) { take_requests(id); });
    return *clients_.emplace(id, std::move(client)).first->second;
}

void RequestServer::add_client(MessageSocket socket, std::function<void()> hung_up) {
    add(std::move(socket)).hung_up = std::move(hung_up);
}

RequestServer::Client* RequestServer::find(ClientId id) {
    const auto found = clients_.find(id);
    return found == clients_.end() ? nullptr : found->second.get();
}

void RequestServer::drop(ClientId id) {
    const auto client = clients_.extract(id);
    if (client.empty()) return;
    if (client.mapped()->hung_up) client.mapped()->hung_up();
    hooks_.gone(id);
}

// Requests.

void RequestServer::take_requests(ClientId id) {
    try {
        for (int i = 0; (i < taken_per_wakeup || has_kept_request(id)) && take_request(id); ++i) {
        }
    } catch (const std::system_error& error) {
        if (error.code() != Errc::peer_closed) log::warning("control.client", {{"reason", error.what()}});
        drop(id);
    }
    // The asked client may have sent requests before its reply; they were read already, so its socket stays silent.
    if (const auto asked = std::exchange(asked_client_, std::nullopt); asked && *asked != id) take_requests(*asked);
}

bool RequestServer::has_kept_request(ClientId id) {
    const Client* const client = find(id);
    return client != nullptr && client->channel.has_kept_request();
}

/// Takes one message. Returns false if there is none, or the client is gone.
bool RequestServer::take_request(ClientId id) {
    Client* const client = find(id);
    if (client == nullptr) return false;
    try {
        auto request = client->channel.next_request();
        if (!request) return false;
        handle(*client, id, std::move(*request));
    } catch (const std::system_error& error) {
        if (error.code() != Errc::bad_message && error.code() != Errc::bad_version) throw;
        client->channel.reply_bad_message(error);
    }
    if (const Client* const left = find(id); left == nullptr || !left->does_not_read) return left != nullptr;
    drop(id);
    return false;
}

void RequestServer::handle(Client& client, ClientId id, Request request) {
    const std::uint64_t number = ++last_number_;
    client.unanswered.emplace(number, request.id);
    Call call{id, std::move(request.descriptors), Answer(*this, id, number)};
    try {
        const auto handler = handlers_.find(request.name);
        if (handler == handlers_.end()) throw_error(Errc::unknown_request, '"' + request.name + '"');
        if (client.allowed && std::ranges::find(*client.allowed, request.name) == client.allowed->end()) {
            throw_error(std::make_error_code(std::errc::operation_not_permitted),
                        request.name + ": this client may not ask for it");
        }
        handler->second(request.arguments, call);
    } catch (const std::system_error& error) {
        call.answer.fail(error.code(), error.what());
    } catch (const std::exception& error) {
        call.answer.fail(std::make_error_code(std::errc::not_enough_memory), error.what());
    }
}

void RequestServer::restrict_client(ClientId id, std::vector<std::string> requests) {
    Client* const client = find(id);
    if (client == nullptr) return;
    client->allowed = std::move(requests);
    client->channel.refuse_descriptors();
}

bool RequestServer::is_restricted(ClientId id) {
    const Client* const client = find(id);
    return client != nullptr && client->allowed.has_value();
}

void RequestServer::finish(ClientId id, std::uint64_t number, const Send& send) {
    Client* const client = find(id);
    if (client == nullptr) return;
    const auto request = client->unanswered.extract(number);
    if (request.empty()) return log::error("control.answered", {{"reason", "a request was answered before"}});
    try {
        send(client->channel, request.mapped());
    } catch (const std::system_error& error) {
        // The connection is dropped when its requests are taken, or by its watch, which will find it closed.
        log::warning("control.client", {{"reason", error.what()}});
        client->does_not_read = true;
    }
}

// Requests of ours.

void RequestServer::send(ClientId client, const char* name, const std::function<Json()>& arguments) noexcept {
    try {
        if (Client* const found = find(client)) found->channel.send_request(name, arguments());
    } catch (const std::exception& error) {
        // A client that does not read learns of the loss when its connection ends.
        log::warning("control.client", {{"reason", error.what()}});
    }
}

Reply RequestServer::ask(ClientId id, const char* name, const Json& arguments, const std::string& what_for) {
    Client* const client = find(id);
    asked_client_ = id;
    asked_timer_.arm(Nanoseconds{0});
    if (client == nullptr) throw_error(Errc::peer_closed, what_for + ": the client that is to be asked is gone");
    return client->channel.call(name, arguments);
}

}  // namespace blktap::ipc
