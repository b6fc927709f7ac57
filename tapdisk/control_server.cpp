// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/control_server.hpp"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libblktap/base/log.hpp"
#include "libblktap/base/version.hpp"
#include "libblktap/files/local_image_opener.hpp"
#include "tapdisk/controller_image_opener.hpp"

namespace blktap {
namespace {

ImageSpec to_spec(const ipc::OpenArguments& arguments) {
    return {arguments.format, arguments.path, arguments.read_only ? Access::read_only : Access::read_write,
            arguments.options};
}

/// Whether `fd` is still the same open file: descriptor numbers are reused.
bool is_same(int fd, dev_t device, ino_t inode, bool read_only) {
    struct stat status {};
    if (::fstat(fd, &status) != 0 || status.st_dev != device || status.st_ino != inode) return false;
    const int flags = ::fcntl(fd, F_GETFL);
    return flags >= 0 && ((flags & O_ACCMODE) == O_RDONLY) == read_only;
}

}  // namespace

struct ControlServer::Handlers {
    ControlServer& server;
    Vbd& vbd;

    void operator()(const ipc::Open& message, ipc::Call& call) {
        if (vbd.state() == Vbd::State::closed && !vbd.opening()) server.files_.clear();
        server.open_for(call.client, [&] {
            vbd.open(to_spec(message), server.opener_for(call.client, message), opened(call, false));
        });
    }
    void operator()(const ipc::Connect& message, ipc::Call& call);
    void operator()(const ipc::Recover& message, ipc::Call& call) {
        vbd.recover(to_spec(message.image), server.opener_for(call.client, message.image), message.device,
                    std::move(call.descriptors));
        call.answer(ipc::Nothing{});
    }
    ipc::Nothing operator()(const ipc::GiveLogs& message, ipc::Call& call) {
        if (call.descriptors.empty() || call.descriptors.size() > ipc::local_logs_max)
            throw_error(Errc::bad_message, std::string(message.name) + ": not 1 to " +
                                               std::to_string(ipc::local_logs_max) + " descriptors");
        vbd.give_logs(std::move(call.descriptors));
        return {};
    }
    void operator()(const ipc::Adopt& message, ipc::Call& call);
    void operator()(const ipc::Disconnect& message, ipc::Call& call);
    void operator()(const ipc::Abandon& message, ipc::Call& call);
    void operator()(const ipc::Pause&, ipc::Call& call) { vbd.pause(later(call)); }
    void operator()(const ipc::Resume& message, ipc::Call& call);
    void operator()(const ipc::Record& message, ipc::Call& call) {
        if (!message.start) return vbd.stop_recording(later(call));
        vbd.start_recording(call.take_descriptor(message.name));
        call.answer(ipc::Nothing{});
    }
    void operator()(const ipc::Resize& message, ipc::Call& call) {
        vbd.resize(message.size_bytes, [answer = call.answer, &vbd = vbd](std::error_code error) {
            if (error) return answer.fail(error, error.message());
            answer(vbd.describe());
        });
    }
    ipc::Json operator()(const ipc::Stats&, ipc::Call&) { return vbd.stats(); }
    ipc::AboutResult operator()(const ipc::About&, ipc::Call&) {
        const auto running = server.loop_.clock().coarse() - server.started_;
        return {version, static_cast<std::uint32_t>(server.self_.pid),
                static_cast<std::uint64_t>(std::chrono::floor<std::chrono::seconds>(running).count()),
                ipc::protocol_version, server.self_.sandbox};
    }
    ipc::Problems operator()(const ipc::Watch&, ipc::Call& call) {
        server.watchers_.insert(call.client);
        return vbd.problems();
    }
    void operator()(const ipc::Files&, ipc::Call& call);
    void operator()(const ipc::Close&, ipc::Call& call) { vbd.close(later(call)); }

    static Vbd::Done later(const ipc::Call& call) {
        return [answer = call.answer](std::error_code error) {
            if (error) return answer.fail(error, error.message());
            answer(ipc::Nothing{});
        };
    }
    Vbd::Opened opened(const ipc::Call& call, bool accept_loss) {
        return [this, answer = call.answer, accept_loss](const std::system_error* error) {
            server.opens_for_.reset();
            if (error != nullptr) return answer.fail(error->code(), error->what());
            try {
                // Last: a refused resume must not accept the loss.
                if (accept_loss) vbd.accept_loss();
                answer(vbd.describe());
            } catch (const std::system_error& refused) {
                answer.fail(refused.code(), refused.what());
            }
        };
    }
};

void ControlServer::Handlers::operator()(const ipc::Connect& message, ipc::Call& call) {
    // A local ring's log is private to tapdisk: a program that could write it could change judged requests.
    UniqueFd memory = message.local ? call.take_descriptor(message.name) : UniqueFd{};
    UniqueFd log_file = call.descriptors.empty() || message.local ? UniqueFd{} : call.take_descriptor(message.name);
    server.connected(message, call, vbd.connect(message, std::move(log_file), std::move(memory)));
}

void ControlServer::Handlers::operator()(const ipc::Adopt& message, ipc::Call& call) {
    const bool by_program = message.local && call.descriptors.size() == 1;
    auto descriptors = call.take_descriptors(message.name, message.local && !by_program ? 2 : 1);
    UniqueFd memory = message.local ? std::move(descriptors.front()) : UniqueFd{};
    UniqueFd log_file = by_program ? UniqueFd{} : std::move(descriptors.back());
    server.connected(message, call, vbd.connect(message, std::move(log_file), std::move(memory), Vbd::Rings::adopted));
}

void ControlServer::connected(const ipc::ConnectArguments& frontend, ipc::Call& call,
                              const std::vector<UniqueFd>& for_peer) {
    owners_.erase(frontend.connection);
    if (frontend.until_hangup) owners_.emplace(frontend.connection, call.client);
    if (frontend.local && frontend.until_hangup) {
        // The client was trusted to connect; from now on others who control the program may send through it.
        server_.restrict_client(call.client, {ipc::Disconnect::name, ipc::Watch::name});
    }
    std::vector<int> descriptors;
    for (const UniqueFd& fd : for_peer)
        descriptors.push_back(fd.get());
    call.answer(vbd_.describe(frontend.connection), descriptors);
}

void ControlServer::Handlers::operator()(const ipc::Disconnect& message, ipc::Call& call) {
    const auto owner = server.owners_.find(message.connection);
    if (server.server_.is_restricted(call.client) && (owner == server.owners_.end() || owner->second != call.client))
        throw_error(std::make_error_code(std::errc::operation_not_permitted), "disconnect: not its connection");
    vbd.disconnect(message.connection, message.rings, later(call));
}

void ControlServer::Handlers::operator()(const ipc::Abandon& message, ipc::Call& call) {
    if (message.local) throw_error(Errc::bad_message, "abandon: local rings have no guest that waits");
    if (vbd.state() != Vbd::State::closed || server.abandoned_)
        throw_error(Errc::wrong_state, "abandon: in use already");
    const UniqueFd log_file = call.take_descriptor(message.name);
    server.abandoned_ = std::make_unique<AbandonedRings>(server.loop_, vbd.xen_handles(), message, log_file,
                                                         [&server = server, done = later(call)] {
                                                             const auto over = std::move(server.abandoned_);
                                                             done({});
                                                         });
}

void ControlServer::Handlers::operator()(const ipc::Resume& message, ipc::Call& call) {
    const Vbd::Opened done = opened(call, message.accept_loss);
    if (vbd.state() == Vbd::State::paused) {
        if (!vbd.opening()) server.files_.clear();
        const auto image = message.image ? std::optional(to_spec(*message.image)) : std::nullopt;
        return server.open_for(call.client, [&] {
            vbd.resume(image, message.image ? server.opener_for(call.client, *message.image) : nullptr, done);
        });
    }
    if (message.image) throw_error(Errc::wrong_state, "another image can only be opened while paused");
    vbd.retry();
    done(nullptr);
}

void ControlServer::Handlers::operator()(const ipc::Files&, ipc::Call& call) {
    if (vbd.state() != Vbd::State::open) throw_error(Errc::wrong_state, "files: no image is open");
    ipc::FilesResult result;
    std::vector<int> descriptors;
    for (const OpenedFile& opened : server.files_) {
        if (descriptors.size() == ipc::message_descriptors_max) break;
        if (!is_same(opened.fd, opened.device, opened.inode, opened.file.read_only)) continue;
        result.files.push_back(opened.file);
        descriptors.push_back(opened.fd);
    }
    call.answer(result, descriptors);
}

ControlServer::ControlServer(EventLoop& loop, Vbd& vbd, ipc::MessageListener& listener, Self self)
    : loop_(loop),
      vbd_(vbd),
      self_(std::move(self)),
      started_(loop.clock().coarse()),
      handlers_(new Handlers{*this, vbd}),
      server_(loop, listener,
              {.gone = [this](ClientId id) { gone(id); },
               .refused =
                   [](const std::string& reason) {
                       log::warning("control.error", {{"reason", reason}});
                   }}) {
    server_.serve(*handlers_, ipc::TapdiskMessages{});
    vbd_.on_problems([this] { tell_problems(); });
}

ControlServer::~ControlServer() {
    vbd_.on_problems([] {});
}

void ControlServer::add_client(ipc::MessageSocket socket, std::function<void()> hung_up) {
    server_.add_client(std::move(socket), std::move(hung_up));
}

/// Calls `open`, which opens an image for a client; the opening is cancelled when the client goes away.
void ControlServer::open_for(ClientId id, const std::function<void()>& open) {
    if (vbd_.opening()) return open();  // refused
    opens_for_ = id;
    try {
        open();
    } catch (...) {
        opens_for_.reset();
        throw;
    }
}

void ControlServer::gone(ClientId id) {
    watchers_.erase(id);
    // No other client knows the image, or can open its files.
    if (opens_for_ == id) vbd_.cancel_opening();
    std::erase_if(owners_, [this, id](const auto& owner) {
        if (owner.second == id) vbd_.hang_up(owner.first);
        return owner.second == id;
    });
}

void ControlServer::tell_problems() noexcept {
    for (const ClientId watcher : watchers_)
        server_.tell(watcher, ipc::TellProblems{vbd_.problems()});
}

std::unique_ptr<ImageOpener> ControlServer::opener_for(ClientId id, const ipc::OpenArguments& arguments) {
    if (arguments.files_from_controller) return std::make_unique<ControllerImageOpener>(*this, id, arguments.path);
    if (self_.sandbox != "off") {
        throw_error(std::make_error_code(std::errc::operation_not_permitted),
                    arguments.path + ": in its sandbox a tapdisk opens no files; they come from the controller");
    }
    return std::make_unique<LocalImageOpener>();
}

UniqueFd ControlServer::open_through_client(std::uint64_t id, const ipc::OpenFileArguments& file) {
    ipc::Reply reply = server_.ask(id, ipc::OpenFile{file}, file.path);
    ipc::throw_if_error(reply);
    if (reply.descriptors.size() != 1) throw_error(Errc::bad_message, file.path + ": no descriptor in the reply");
    UniqueFd fd = std::move(reply.descriptors.front());
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) throw_system_error(file.path);
    const auto told = reply.result.get<ipc::OpenFileResult>();
    files_.push_back({file,
                      fd.get(),
                      status.st_dev,
                      status.st_ino,
                      {told.discard_max_bytes, told.discard_granularity, told.discard_alignment}});
    return fd;
}

DeviceDiscard ControlServer::device_discard(int fd) const {
    const auto last = std::find_if(files_.rbegin(), files_.rend(), [fd](const auto& file) { return file.fd == fd; });
    return last == files_.rend() ? DeviceDiscard{} : last->discard;
}

}  // namespace blktap
