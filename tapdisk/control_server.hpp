// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ControlServer: the control socket of a tapdisk. Any number of clients; each request goes to the Vbd and is answered
// when it is done, which for pause, disconnect and close is later. A client that goes away takes nothing with it,
// except the connection of a frontend that asked for that.
//
// Control clients are trusted (the socket has mode 0600); what they send is still parsed strictly, so that a mistake is
// an error reply and never a crash.
//
// Tested by tests/unit/tapdisk/control_server_test.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "libblktap/ipc/channel.hpp"
#include "libblktap/ipc/messages.hpp"
#include "tapdisk/abandoned_rings.hpp"
#include "tapdisk/vbd.hpp"

namespace blktap {

class ControlServer {
  public:
    /// `loop` and `vbd` outlive the server. Errors: throws std::system_error naming the path.
    ControlServer(EventLoop& loop, Vbd& vbd, std::string path);
    ControlServer(const ControlServer&) = delete;
    ControlServer& operator=(const ControlServer&) = delete;
    ~ControlServer();

    /// Serves a client that is connected already; `hung_up` is called when it goes away.
    void add_client(ipc::MessageSocket socket, std::function<void()> hung_up);

    /// Asks the client `client` to open a file: what ControllerImageOpener uses.
    /// Errors: throws std::system_error; Errc::peer_closed when that client is gone.
    UniqueFd open_through_client(std::uint64_t client, const ipc::OpenFileArguments& file);

  private:
    struct Client {
        Client(EventLoop& loop, ipc::MessageSocket socket, EventLoop::Watch::Handler handler)
            : channel(std::move(socket)), watch(loop, channel.fd(), EPOLLIN, std::move(handler)) {}
        ipc::Channel channel;
        EventLoop::Watch watch;
        std::function<void()> hung_up{};
        bool watches = false;  ///< is told of problems
    };
    using ClientId = std::uint64_t;
    /// A file that a client opened for the image. The driver owns the descriptor, so it is looked at again before use.
    struct OpenedFile {
        ipc::OpenFileArguments file;
        int fd;
        dev_t device;
        ino_t inode;
    };
    /// Who waits for the answer to which request.
    struct Pending {
        ClientId client;
        std::uint64_t request;
    };

    void accept_clients();
    Client& add(ipc::MessageSocket socket);
    void serve(ClientId id);
    bool serve_next(ClientId id);
    bool has_kept_request(ClientId id);
    void handle(ClientId id, ipc::Request request);
    void drop(ClientId id);
    Client* find(ClientId id);

    ipc::Json run(ClientId id, ipc::Request& request, bool& answered_later);
    void send_files(const Pending& pending);
    ipc::Json open(ClientId id, const ipc::Request& request);
    ipc::Json connect(ClientId id, ipc::Request& request);
    void abandon(const Pending& pending, ipc::Request& request);
    ipc::Json resume(ClientId id, const ipc::Request& request);
    ipc::Json watch(ClientId id);
    ipc::Json resize(const Pending& pending, const ipc::Request& request, bool& answered_later);
    ipc::Json record(const Pending& pending, ipc::Request& request, bool& answered_later);
    std::unique_ptr<ImageOpener> opener_for(ClientId id, const ipc::OpenArguments& arguments);
    /// `describes`: the result is the device's description, not {}.
    Vbd::Done reply_later(const Pending& pending, bool describes = false);
    void tell_problems() noexcept;
    void reply_error(ClientId id, std::uint64_t request, std::error_code code, const std::string& message);

    EventLoop& loop_;
    Vbd& vbd_;
    ipc::MessageListener listener_;
    std::map<ClientId, std::unique_ptr<Client>> clients_;
    ClientId last_client_ = 0;
    std::optional<ClientId> frontend_owner_;  ///< its hang-up disconnects the frontend
    std::vector<OpenedFile> files_;           ///< of the image that is open, or was last
    std::optional<ClientId> asked_client_;    ///< open_through_client() read its socket
    std::unique_ptr<AbandonedRings> abandoned_;
    EventLoop::Watch watch_;
};

}  // namespace blktap
