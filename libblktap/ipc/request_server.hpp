// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// RequestServer: a socket that serves messages: accepts clients, reads their requests, and answers each exactly once,
// now or later. A client that goes away cancels nothing: its requests are done all the same.
//
// Clients are trusted (the socket has mode 0600), except restricted ones; their messages are still parsed strictly, so
// that a mistake is an error reply and never a crash. A client that sends without end, or does not read, does not keep
// the others waiting.
//
// Tested by tests/unit/ipc/request_server_test.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "libblktap/base/event_loop.hpp"
#include "libblktap/ipc/channel.hpp"
#include "libblktap/ipc/message.hpp"

namespace blktap::ipc {

class RequestServer;

/// Answers one request. Copies answer the same request: only the first answer counts.
class Answer {
  public:
    /// Sends nothing if the client is gone. Errors: none; a client that does not read is logged.
    void operator()(const Json& result, const std::vector<int>& descriptors = {}) const;
    void fail(std::error_code code, const std::string& message) const;
    /// Answers with the reply of another server. Its descriptors are not passed on.
    void pass_on(const Reply& reply) const;

  private:
    friend class RequestServer;
    Answer(RequestServer& server, std::uint64_t client, std::uint64_t number) noexcept
        : server_(&server), client_(client), number_(number) {}

    RequestServer* server_;
    std::uint64_t client_;
    std::uint64_t number_;  ///< our number of the request: a client may use the same id twice
};

/// A request while it is being handled.
struct Call {
    std::uint64_t client;
    std::vector<UniqueFd> descriptors;
    Answer answer;

    /// Returns the one descriptor of the message. Errors: throws Errc::bad_message if there is not exactly one.
    UniqueFd take_descriptor(const char* request) { return std::move(take_descriptors(request, 1).front()); }
    /// Returns all descriptors of the message. Errors: throws Errc::bad_message if there are not exactly `count`.
    std::vector<UniqueFd> take_descriptors(const char* request, std::size_t count);
};

class RequestServer {
  public:
    using ClientId = std::uint64_t;
    /// Messages of one client, and new clients, in one round of the loop; descriptors with more stay readable.
    static constexpr int taken_per_wakeup = 16;
    struct Hooks {
        /// A client is gone. Must not destroy the server.
        std::function<void(ClientId)> gone = [](ClientId) {};
        /// A request was answered with an error.
        std::function<void(const std::string& reason)> refused = [](const std::string&) {};
    };

    /// `loop` and `listener` outlive the server.
    RequestServer(EventLoop& loop, MessageListener& listener, Hooks hooks);
    RequestServer(const RequestServer&) = delete;
    RequestServer& operator=(const RequestServer&) = delete;
    ~RequestServer();

    /// From now on `handlers` answers these messages; it outlives the server. For each message M there is one of
    ///     M::Result operator()(const M&, Call&)   answered at once
    ///     void operator()(const M&, Call&)        answered now or later, by a copy of call.answer
    /// and a message without one does not compile. What they throw is the answer.
    template <class Handlers, DeclaredMessage... M>
    void serve(Handlers& handlers, MessageList<M...>) {
        (add_handler<M>(handlers), ...);
    }
    bool serves(const std::string& name) const { return handlers_.contains(name); }

    /// Serves a client that is connected already; `hung_up` is called when it goes away.
    void add_client(MessageSocket socket, std::function<void()> hung_up);
    /// From now on this client, which is no longer trusted, may only send `requests`, without descriptors.
    void restrict_client(ClientId client, std::vector<std::string> requests);
    bool is_restricted(ClientId client);
    /// Sends a request to a client and ignores the reply. Errors: none; failures are logged.
    template <DeclaredMessage M>
    void tell(ClientId client, const M& message) noexcept {
        send(client, M::name, [&] { return Json(message); });
    }
    /// Sends a request to a client, and waits for its reply; requests that the client sends meanwhile are served later.
    /// Errors: throws std::system_error; Errc::peer_closed: that client is gone.
    template <DeclaredMessage M>
    Reply ask(ClientId client, const M& message, const std::string& what_for) {
        return ask(client, M::name, message, what_for);
    }

  private:
    friend class Answer;
    struct Client;
    using Handler = std::function<void(const Json& arguments, Call& call)>;
    using Send = std::function<void(Channel&, std::uint64_t id)>;

    template <DeclaredMessage M, class Handlers>
    void add_handler(Handlers& handlers) {
        handlers_[M::name] = [&handlers](const Json& arguments, Call& call) {
            const M message = arguments.get<M>();
            using Returned = decltype(handlers(message, call));
            if constexpr (std::is_void_v<Returned>) {
                handlers(message, call);
            } else {
                static_assert(std::is_same_v<Returned, typename M::Result>, "a handler returns the message's Result");
                call.answer(handlers(message, call));
            }
        };
    }
    void accept_clients();
    Client& add(MessageSocket socket);
    Client* find(ClientId id);
    void take_requests(ClientId id);
    bool take_request(ClientId id);
    bool has_kept_request(ClientId id);
    void handle(Client& client, ClientId id, Request request);
    void drop(ClientId id);
    void finish(ClientId id, std::uint64_t number, const Send& send);
    void send(ClientId client, const char* name, const std::function<Json()>& arguments) noexcept;
    Reply ask(ClientId client, const char* name, const Json& arguments, const std::string& what_for);

    EventLoop& loop_;
    MessageListener& listener_;
    Hooks hooks_;
    std::map<std::string, Handler> handlers_;
    std::map<ClientId, std::unique_ptr<Client>> clients_;
    ClientId last_client_ = 0;
    std::uint64_t last_number_ = 0;
    std::optional<ClientId> asked_client_;  ///< the client of ask(), which may have kept requests
    EventLoop::Timer asked_timer_;          ///< takes these, whoever called ask()
    EventLoop::Watch watch_;
};

}  // namespace blktap::ipc
