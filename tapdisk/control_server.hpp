// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ControlServer: serves a tapdisk's control clients. Each message goes to the Vbd and is answered when it is done,
// which for pause, disconnect and close is later. When a client goes away nothing changes, except that a connection
// with `until_hangup` ends.
//
// Tested by tests/unit/tapdisk/control_server_test.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <sys/types.h>
#include <vector>

#include "libblktap/files/device_discard.hpp"
#include "libblktap/ipc/messages.hpp"
#include "libblktap/ipc/request_server.hpp"
#include "tapdisk/ring/abandoned_rings.hpp"
#include "tapdisk/vbd.hpp"

namespace blktap {

class ControlServer {
  public:
    /// This process, for people.
    struct Self {
        int pid = 0;          ///< as the host numbers it
        std::string sandbox;  ///< sandbox::describe(); "off": the files of an image may be opened here
    };
    /// All of them outlive the server. Errors: throws std::system_error (descriptors).
    ControlServer(EventLoop& loop, Vbd& vbd, ipc::MessageListener& listener, Self self);
    ControlServer(const ControlServer&) = delete;
    ControlServer& operator=(const ControlServer&) = delete;
    ~ControlServer();

    /// Serves a client that is connected already; `hung_up` is called when it goes away.
    void add_client(ipc::MessageSocket socket, std::function<void()> hung_up);

    /// Asks the client `client` to open a file; for ControllerImageOpener.
    /// Errors: throws std::system_error; Errc::peer_closed if that client is gone.
    UniqueFd open_through_client(std::uint64_t client, const ipc::OpenFileArguments& file);
    /// What the client said about discards on that file; for ControllerImageOpener.
    DeviceDiscard device_discard(int fd) const;

  private:
    struct Handlers;
    using ClientId = ipc::RequestServer::ClientId;
    /// A file that a client opened for the image. The driver owns the descriptor, so is_same() checks it before use.
    struct OpenedFile {
        ipc::OpenFileArguments file;
        int fd;
        dev_t device;
        ino_t inode;
        DeviceDiscard discard;
    };

    void gone(ClientId id);
    void open_for(ClientId id, const std::function<void()>& open);
    std::unique_ptr<ImageOpener> opener_for(ClientId id, const ipc::OpenArguments& arguments);
    /// Answers "connect" and "adopt".
    void connected(const ipc::ConnectArguments& frontend, ipc::Call& call, const std::vector<UniqueFd>& for_peer);
    void tell_problems() noexcept;

    EventLoop& loop_;
    Vbd& vbd_;
    const Self self_;
    const Nanoseconds started_;
    std::set<ClientId> watchers_;             ///< subscribers to problems
    std::map<std::string, ClientId> owners_;  ///< by connection name: the client whose hang-up ends the connection
    std::optional<ClientId> opens_for_;       ///< the client that asked for the image that is being opened
    std::vector<OpenedFile> files_;           ///< files of the image that is open, or was open last
    std::unique_ptr<AbandonedRings> abandoned_;
    std::unique_ptr<Handlers> handlers_;
    ipc::RequestServer server_;
};

}  // namespace blktap
