// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/control_server.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include "drivers/shared/local_image_opener.hpp"
#include "libblktap/base/log.hpp"
#include "tapdisk/controller_image_opener.hpp"

namespace blktap {
namespace {

using ipc::Json;

/// Messages of one client, and clients, before the guest and others have their turn; their descriptors stay readable.
constexpr int taken_per_wakeup = 16;

ImageSpec to_spec(const ipc::OpenArguments& arguments) {
    return {arguments.format, arguments.path, arguments.read_only ? Access::read_only : Access::read_write,
            arguments.options};
}

UniqueFd take_descriptor(ipc::Request& request) {
    if (request.descriptors.size() != 1) {
        throw_error(Errc::bad_message, request.name + ": " + std::to_string(request.descriptors.size()) +
                                           " descriptors in the message instead of 1");
    }
    return std::move(request.descriptors.front());
}

/// Whether `fd` is still what it was: numbers are used again.
bool is_same(int fd, dev_t device, ino_t inode, bool read_only) {
    struct stat status {};
    if (::fstat(fd, &status) != 0 || status.st_dev != device || status.st_ino != inode) return false;
    const int flags = ::fcntl(fd, F_GETFL);
    return flags >= 0 && ((flags & O_ACCMODE) == O_RDONLY) == read_only;
}

}  // namespace

ControlServer::ControlServer(EventLoop& loop, Vbd& vbd, std::string path)
    : loop_(loop),
      vbd_(vbd),
      listener_(std::move(path)),
      watch_(loop, listener_.fd(), EPOLLIN, [this](std::uint32_t) { accept_clients(); }) {
    vbd_.on_problems([this] { tell_problems(); });
}

ControlServer::~ControlServer() {
    vbd_.on_problems([] {});
}

void ControlServer::accept_clients() {
    for (int i = 0; i < taken_per_wakeup; ++i) {
        auto socket = listener_.accept();
        if (!socket) return;
        add(std::move(*socket));
    }
}

ControlServer::Client& ControlServer::add(ipc::MessageSocket socket) {
    const ClientId id = ++last_client_;
    auto client = std::make_unique<Client>(loop_, std::move(socket), [this, id](std::uint32_t) { serve(id); });
    return *clients_.emplace(id, std::move(client)).first->second;
}

void ControlServer::add_client(ipc::MessageSocket socket, std::function<void()> hung_up) {
    add(std::move(socket)).hung_up = std::move(hung_up);
}

ControlServer::Client* ControlServer::find(ClientId id) {
    const auto found = clients_.find(id);
    return found == clients_.end() ? nullptr : found->second.get();
}

void ControlServer::serve(ClientId id) {
    try {
        for (int i = 0; (i < taken_per_wakeup || has_kept_request(id)) && serve_next(id); ++i) {
        }
    } catch (const std::system_error& error) {
        if (error.code() != Errc::peer_closed) log::warning("control.client", {{"reason", error.what()}});
        drop(id);
    }
    // A client that was asked for a file may have sent requests before its reply; its socket will not tell again.
    if (const auto asked = std::exchange(asked_client_, std::nullopt); asked && *asked != id) serve(*asked);
}

bool ControlServer::has_kept_request(ClientId id) {
    const Client* const client = find(id);
    return client != nullptr && client->channel.has_kept_request();
}

/// One message. False: none is there, or the client is gone.
bool ControlServer::serve_next(ClientId id) {
    Client* client = find(id);
    if (client == nullptr) return false;
    try {
        auto request = client->channel.next_request();
        if (!request) return false;
        handle(id, std::move(*request));
    } catch (const std::system_error& error) {
        if (error.code() != Errc::bad_message && error.code() != Errc::bad_version) throw;
        client->channel.reply_bad_message(error);
    }
    return true;
}

void ControlServer::handle(ClientId id, ipc::Request request) {
    bool answered_later = false;
    Json result;
    try {
        result = run(id, request, answered_later);
    } catch (const std::system_error& error) {
        return reply_error(id, request.id, error.code(), error.what());
    } catch (const std::exception& error) {
        return reply_error(id, request.id, std::make_error_code(std::errc::not_enough_memory), error.what());
    }
    if (Client* client = answered_later ? nullptr : find(id)) client->channel.reply(request.id, result);
}

void ControlServer::drop(ClientId id) {
    const auto client = clients_.extract(id);
    if (!client.empty() && client.mapped()->hung_up) client.mapped()->hung_up();
    if (frontend_owner_ != id) return;
    frontend_owner_.reset();
    vbd_.hang_up();
}

void ControlServer::reply_error(ClientId id, std::uint64_t request, std::error_code code, const std::string& message) {
    log::warning("control.error", {{"reason", message}});
    if (Client* client = find(id)) client->channel.reply_error(request, code, message);
}

/// A client that does not read has its connection's end to learn it from.
void ControlServer::tell_problems() noexcept {
    for (const auto& [id, client] : clients_) {
        if (!client->watches) continue;
        try {
            client->channel.send_request("problems", vbd_.problems());
        } catch (const std::exception& error) {
            log::warning("control.client", {{"reason", error.what()}});
        }
    }
}

Vbd::Done ControlServer::reply_later(const Pending& pending, bool describes) {
    return [this, pending, describes](std::error_code error) {
        try {
            Client* client = find(pending.client);
            if (client == nullptr) return;
            if (error) {
                reply_error(pending.client, pending.request, error, error.message());
            } else {
                client->channel.reply(pending.request, describes ? Json(vbd_.describe()) : Json::object());
            }
        } catch (const std::system_error& failure) {
            // Its own watch will find the connection closed.
            log::warning("control.client", {{"reason", failure.what()}});
        }
    };
}

Json ControlServer::run(ClientId id, ipc::Request& request, bool& answered_later) {
    const Pending pending{id, request.id};
    const std::string& name = request.name;
    if (name == "open") return open(id, request);
    if (name == "connect") return connect(id, request);
    if (name == "resume") return resume(id, request);
    if (name == "record") return record(pending, request, answered_later);
    if (name == "resize") return resize(pending, request, answered_later);

    if (name == "files") {
        ipc::expect_no_arguments(request.arguments);
        answered_later = true;
        send_files(pending);
        return {};
    }
    if (name == "abandon") {
        abandon(pending, request);
        answered_later = true;
        return {};
    }
    if (name == "disconnect") {
        const auto arguments = request.arguments.get<ipc::DisconnectArguments>();
        vbd_.disconnect(arguments.rings, reply_later(pending));
        answered_later = true;
        return {};
    }
    const bool known = name == "watch" || name == "pause" || name == "close" || name == "stats";
    if (!known) throw_error(Errc::unknown_request, "\"" + name + "\"");
    ipc::expect_no_arguments(request.arguments);
    if (name == "stats") return vbd_.stats();
    if (name == "watch") return watch(id);
    if (name == "pause") vbd_.pause(reply_later(pending));
    if (name == "close") vbd_.close(reply_later(pending));
    answered_later = true;
    return {};
}

void ControlServer::send_files(const Pending& pending) {
    if (vbd_.state() != Vbd::State::open) throw_error(Errc::wrong_state, "files: no image is open");
    ipc::FilesResult result;
    std::vector<int> descriptors;
    for (const OpenedFile& opened : files_) {
        if (descriptors.size() == ipc::message_descriptors_max) break;
        if (!is_same(opened.fd, opened.device, opened.inode, opened.file.read_only)) continue;
        result.files.push_back(opened.file);
        descriptors.push_back(opened.fd);
    }
    if (Client* client = find(pending.client)) client->channel.reply(pending.request, result, descriptors);
}

Json ControlServer::open(ClientId id, const ipc::Request& request) {
    const auto arguments = request.arguments.get<ipc::OpenArguments>();
    if (vbd_.state() == Vbd::State::closed) files_.clear();
    vbd_.open(to_spec(arguments), opener_for(id, arguments));
    return vbd_.describe();
}

Json ControlServer::connect(ClientId id, ipc::Request& request) {
    const auto arguments = request.arguments.get<ipc::ConnectArguments>();
    UniqueFd log_file = request.descriptors.empty() ? UniqueFd{} : take_descriptor(request);
    vbd_.connect(arguments, std::move(log_file));
    frontend_owner_.reset();
    if (arguments.until_hangup) frontend_owner_ = id;
    return vbd_.describe();
}

void ControlServer::abandon(const Pending& pending, ipc::Request& request) {
    const auto arguments = request.arguments.get<ipc::ConnectArguments>();
    if (vbd_.state() != Vbd::State::closed || abandoned_) throw_error(Errc::wrong_state, "abandon: in use already");
    const UniqueFd log_file = take_descriptor(request);
    abandoned_ = std::make_unique<AbandonedRings>(loop_, arguments, log_file, [this, done = reply_later(pending)] {
        const auto over = std::move(abandoned_);
        done({});
    });
}

Json ControlServer::resume(ClientId id, const ipc::Request& request) {
    const auto arguments = request.arguments.get<ipc::ResumeArguments>();
    if (vbd_.state() == Vbd::State::paused) {
        files_.clear();
        const auto image = arguments.image ? std::optional(to_spec(*arguments.image)) : std::nullopt;
        vbd_.resume(image, arguments.image ? opener_for(id, *arguments.image) : nullptr);
    } else if (arguments.image) {
        throw_error(Errc::wrong_state, "another image can only be opened while paused");
    } else {
        vbd_.retry();
    }
    // Last: a resume that was refused has accepted nothing.
    if (arguments.accept_loss) vbd_.accept_loss();
    return vbd_.describe();
}

Json ControlServer::watch(ClientId id) {
    if (Client* client = find(id)) client->watches = true;
    return vbd_.problems();
}

Json ControlServer::resize(const Pending& pending, const ipc::Request& request, bool& answered_later) {
    const auto arguments = request.arguments.get<ipc::ResizeArguments>();
    vbd_.resize(arguments.size_bytes, reply_later(pending, true));
    answered_later = true;
    return {};
}

Json ControlServer::record(const Pending& pending, ipc::Request& request, bool& answered_later) {
    const auto arguments = request.arguments.get<ipc::RecordArguments>();
    if (arguments.start) {
        vbd_.start_recording(take_descriptor(request));
        return Json::object();
    }
    answered_later = true;
    vbd_.stop_recording(reply_later(pending));
    return {};
}

std::unique_ptr<ImageOpener> ControlServer::opener_for(ClientId id, const ipc::OpenArguments& arguments) {
    if (arguments.files_from_controller) return std::make_unique<ControllerImageOpener>(*this, id, arguments.path);
    return std::make_unique<LocalImageOpener>();
}

UniqueFd ControlServer::open_through_client(std::uint64_t id, const ipc::OpenFileArguments& file) {
    Client* client = find(id);
    asked_client_ = id;
    if (client == nullptr) throw_error(Errc::peer_closed, file.path + ": the controller that opens files is gone");
    ipc::Reply reply = client->channel.call("open-file", file);
    ipc::throw_if_error(reply);
    if (reply.descriptors.size() != 1) throw_error(Errc::bad_message, file.path + ": no descriptor in the reply");
    UniqueFd fd = std::move(reply.descriptors.front());
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) throw_system_error(file.path);
    files_.push_back({file, fd.get(), status.st_dev, status.st_ino});
    return fd;
}

}  // namespace blktap
