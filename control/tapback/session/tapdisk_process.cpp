// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/session/tapdisk_process.hpp"

#include <csignal>
#include <exception>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/tapback/session/program_check.hpp"
#include "control/tapback/system/empty_network.hpp"
#include "control/tapback/system/user_block.hpp"
#include "drivers/shared/options.hpp"
#include "libblktap/base/log.hpp"

extern "C" {
#include <sys/pidfd.h>  // glibc 2.36 does not say so itself
}

namespace blktap::tapback {
namespace {

/// A process that ends closes its connection first; its end is the better reason to report.
constexpr Nanoseconds end_may_follow = std::chrono::seconds(2);
constexpr std::size_t last_word_max_bytes = 512;

bool is_no_listener(const std::system_error& error) noexcept {
    return error.code() == std::errc::no_such_file_or_directory || error.code() == std::errc::connection_refused;
}

/// What this image's own option says; none: 0.
std::uint64_t memory_budget_of(const ipc::OpenArguments& image) noexcept {
    const auto option = image.options.find("memory-budget");
    return option == image.options.end() ? 0 : parse_size(option->second).value_or(0);
}

bool is_hang_up(const std::system_error& error) noexcept {
    return error.code() == std::errc::broken_pipe || error.code() == std::errc::connection_reset;
}

/// Whether our message was at fault, not the connection.
bool is_no_message(const std::system_error& error) noexcept {
    return error.code() == std::errc::illegal_byte_sequence || error.code() == std::errc::message_size;
}

/// Text from a tapdisk reaches a terminal by xl: it is made printable, and cut.
std::string printable(std::string text) {
    if (text.size() > last_word_max_bytes) text = text.substr(0, last_word_max_bytes) + "...";
    for (char& c : text)
        if (c < ' ' || c > '~') c = '?';
    return text;
}

/// The id of a child, which exists at least as a zombie until it is reaped.
ProcessId identify_or_kill(const ChildProcess& child) {
    try {
        if (const auto id = identify(child.pid)) return *id;
        throw_error(std::make_error_code(std::errc::no_such_process), "process " + std::to_string(child.pid));
    } catch (const std::exception&) {
        child.kill();
        throw;
    }
}

/// Errors: throws std::system_error, as a tapdisk that does not start.
UniqueFd bind_for_tapdisk(const std::string& socket_path) {
    try {
        return ipc::bind_message_socket(socket_path);
    } catch (const std::system_error& error) {
        throw_error(error.code(), "its tapdisk did not start: " + socket_path);
    }
}

/// Starts a tapdisk. If that fails, nobody will listen on its socket, which is removed.
std::pair<ChildProcess, ProcessId> start_or_remove(const std::vector<std::string>& command,
                                                   const std::vector<int>& kept, const std::string& socket_path,
                                                   Place place) {
    try {
        ChildProcess child = spawn_child(command, kept, {}, place);
        const ProcessId id = identify_or_kill(child);
        return {std::move(child), id};
    } catch (const std::exception&) {
        ::unlink(socket_path.c_str());
        throw;
    }
}

}  // namespace

TapdiskProcesses::TapdiskProcesses(EventLoop& loop, TapdiskSearch& search, std::vector<std::string> command,
                                   Place place, ControlGroups groups)
    : loop_(loop), search_(search), command_(std::move(command)), groups_(std::move(groups)), how_{place, {}} {
    if (place == Place::with_us || ::geteuid() != 0) return;
    const auto first_user = choose_user_block();
    if (!first_user) {
        throw_error(std::make_error_code(std::errc::address_not_available),
                    "users of this host have all ids that tapdisks could be given (\"sandbox = off\" needs none)");
    }
    command_.push_back("--first-user=" + std::to_string(*first_user));
    network_ = make_empty_network();
    if (!network_) return;
    how_.kept.push_back(network_.get());
    command_.push_back("--network-fd=" + std::to_string(network_.get()));
}

std::unique_ptr<TapdiskHandle> TapdiskProcesses::start(const std::string& socket_path, TapdiskHandle::Hooks hooks) {
    std::vector<std::string> command = command_;
    TapdiskStart how = how_;
    const UniqueFd group = groups_.make(socket_path);
    if (group) {
        how.kept.push_back(group.get());
        command.push_back("--group-fd=" + std::to_string(group.get()));
    }
    auto process = TapdiskProcess::spawn(loop_, std::move(command), socket_path, std::move(hooks), how);
    process->set_groups(groups_);
    return process;
}

std::unique_ptr<TapdiskHandle> TapdiskProcesses::find(const std::optional<ProcessId>& known,
                                                      const std::string& socket_path, TapdiskHandle::Hooks hooks) {
    auto process = TapdiskProcess::find(loop_, search_, known, socket_path, std::move(hooks));
    if (process) process->set_groups(groups_);
    return process;
}

std::unique_ptr<ProgramCheck> TapdiskProcesses::can_adopt(unsigned log_version, ProgramCheck::Done done) {
    return ask_program(loop_, {command_.front(), "--can-adopt", std::to_string(log_version)}, std::move(done));
}

ipc::Reply error_reply(std::error_code code, const std::string& message) {
    ipc::Reply reply;
    reply.error_code = ipc::error_code_name(code);
    reply.error_message = message;
    return reply;
}

bool is_error(const ipc::Reply& reply, Errc code) {
    return !reply.error_code.empty() && ipc::error_code_named(reply.error_code) == code;
}

std::unique_ptr<TapdiskProcess> TapdiskProcess::spawn(EventLoop& loop, std::vector<std::string> command,
                                                      const std::string& socket_path, Hooks hooks,
                                                      const TapdiskStart& how) {
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
        throw_system_error("a socket for tapdisk");
    ipc::MessageSocket ours{UniqueFd(ends[0])};
    const UniqueFd theirs(ends[1]);
    // The tapdisk itself listens, so that SO_PEERCRED names it. It needs no path for that.
    const UniqueFd listener = bind_for_tapdisk(socket_path);
    command.insert(command.end(), {"--listen-fd", std::to_string(listener.get()), "--control", socket_path,
                                   "--client-fd", std::to_string(theirs.get())});
    std::vector<int> kept = how.kept;
    kept.insert(kept.end(), {theirs.get(), listener.get()});
    auto [child, id] = start_or_remove(command, kept, socket_path, how.place);
    std::unique_ptr<TapdiskProcess> process(new TapdiskProcess(loop, id, std::move(child), std::move(hooks)));
    process->socket_path_ = socket_path;
    process->use(std::move(ours));
    return process;
}

std::unique_ptr<TapdiskProcess> TapdiskProcess::find(EventLoop& loop, TapdiskSearch& search,
                                                     const std::optional<ProcessId>& known,
                                                     const std::string& socket_path, Hooks hooks) {
    std::optional<ProcessId> id = known;
    ipc::MessageSocket socket;
    bool is_left = false;  // a socket on which nobody listens
    try {
        socket = ipc::MessageSocket::connect_to(socket_path);
        if (!id) id = identify(socket.peer_pid());
    } catch (const std::system_error& error) {
        if (!id && !is_no_listener(error)) throw;
        is_left = error.code() == std::errc::connection_refused;
        if (const auto pid = id ? std::nullopt : search.find(socket_path)) id = identify(*pid);
    }
    auto pidfd = id ? open_process(*id) : std::nullopt;
    if (!pidfd) {
        if (is_left) ::unlink(socket_path.c_str());
        return nullptr;
    }
    std::unique_ptr<TapdiskProcess> process(
        new TapdiskProcess(loop, *id, {id->pid, std::move(*pidfd)}, std::move(hooks)));
    process->socket_path_ = socket_path;
    if (socket.fd() >= 0 && socket.peer_pid() == id->pid) process->use(std::move(socket));
    return process;
}

TapdiskProcess::TapdiskProcess(EventLoop& loop, const ProcessId& id, ChildProcess process, Hooks hooks)
    : loop_(loop),
      id_(id),
      process_(std::move(process)),
      hooks_(std::move(hooks)),
      lost_timer_(loop, [this] { connection_lost(); }),
      kill_timer_(loop, [this] {
          kill("it did not end within " + std::to_string(end_patience / std::chrono::seconds(1)) + " s of SIGTERM");
      }) {
    end_watch_.emplace(loop, process_.pidfd.get(), EPOLLIN, [this](std::uint32_t) { ended(); });
}

TapdiskProcess::~TapdiskProcess() {
    hang_up();
}

void TapdiskProcess::use(ipc::MessageSocket socket) {
    socket.set_patience(Nanoseconds{0});  // else all disks would wait for a tapdisk that does not read
    socket.refuse_descriptors();          // else all would wait for storage when a file is closed
    channel_.emplace(std::move(socket));
    channel_watch_.emplace(loop_, channel_->fd(), EPOLLIN, [this](std::uint32_t) { receive(); });
}

void TapdiskProcess::connect() {
    if (channel_watch_) return;
    if (is_banned_) throw_error(std::make_error_code(std::errc::protocol_error), lost_reason_);
    ipc::MessageSocket socket = ipc::MessageSocket::connect_to(socket_path_);
    if (socket.peer_pid() != id_.pid) {
        throw_error(std::make_error_code(std::errc::device_or_resource_busy),
                    socket_path_ + ": process " + std::to_string(socket.peer_pid()) + " listens there");
    }
    use(std::move(socket));
}

// Requests to the tapdisk, and its messages.

void TapdiskProcess::send(const Message& message, Done done) {
    if (message.asks_for_files) unasked_.refill();
    if (groups_ != nullptr && message.image != nullptr)
        groups_->make_room(socket_path_, memory_budget_of(*message.image));
    if (!channel_watch_) {
        unsent_calls_.push_back(std::move(done));
        if (!lost_timer_.armed()) lost_timer_.arm(Nanoseconds{0});
        return;
    }
    const std::string name = message.name;
    try {
        calls_.emplace(channel_->send_request(name, message.arguments, message.descriptors), std::move(done));
    } catch (const std::system_error& error) {
        if (is_no_message(error)) return done(error_reply(error.code(), name + ": " + error.what()));
        unsent_calls_.push_back(std::move(done));
        // A tapdisk that hung up may have sent messages before: they are still to be read.
        if (!is_hang_up(error)) drop_connection(name + ": " + error.what());
    }
}

/// The next message; none if there is none, or if what came was none: then the tapdisk is killed.
/// Errors: throws std::system_error: the connection is lost.
std::optional<ipc::Parsed> TapdiskProcess::next_message() {
    try {
        return channel_->next();
    } catch (const std::system_error& error) {
        if (error.code() != Errc::bad_message) throw;
        ban(std::string("it sends what is no message: ") + error.what());
        return std::nullopt;
    }
}

void TapdiskProcess::receive() {
    try {
        for (int i = 0; i < messages_per_wakeup && channel_watch_; ++i) {
            auto message = next_message();
            if (!message) return;
            const bool asked = message->reply && calls_.contains(message->reply->id);
            if (!asked && !unasked_.take(loop_.clock().now())) {
                return ban("it says too much: more than " + std::to_string(unasked_burst) +
                           " messages at once that nobody asked for");
            }
            handle(std::move(*message));
        }
    } catch (const std::exception& error) {
        // Any exception: a message of one tapdisk must not end the daemon of all disks.
        drop_connection(error.what());
    }
}

void TapdiskProcess::handle(ipc::Parsed message) {
    if (message.request) return serve(*message.request);
    auto call = calls_.extract(message.reply->id);
    if (!call.empty()) {
        has_started_ = true;
        return call.mapped()(std::move(*message.reply));
    }
    // An error that answers no call: why the tapdisk, which ends next, cannot start.
    if (has_started_ || message.reply->id != 0 || message.reply->error_code.empty()) return;
    last_word_ = error_reply(ipc::error_code_named(message.reply->error_code),
                             printable(std::move(message.reply->error_message)));
}

void TapdiskProcess::serve(const ipc::Request& request) {
    std::optional<std::system_error> refusal;
    try {
        if (request.name == ipc::TellProblems::name) {
            hooks_.problems(request.arguments.get<ipc::TellProblems>());
        } else if (request.name == ipc::OpenFile::name) {
            return ask_for_file(request);
        } else {
            throw_error(Errc::unknown_request, '"' + request.name + '"');
        }
    } catch (const std::system_error& error) {
        refusal = error;
    }
    try {
        if (refusal) return channel_->reply_error(request.id, refusal->code(), refusal->what());
        channel_->reply(request.id, ipc::Json::object());
    } catch (const std::system_error& error) {
        if (error.code() != std::errc::timed_out) throw;
        ban("it does not read the answers to what it asks");
    }
}

void TapdiskProcess::ask_for_file(const ipc::Request& request) {
    UniqueFd connection(::fcntl(channel_->fd(), F_DUPFD_CLOEXEC, 0));
    if (!connection) throw_system_error("a connection for a file");
    hooks_.open_file({request.arguments.get<ipc::OpenFile>(), id_, request.id, std::move(connection)});
}

// The end of the connection, and of the process.

/// Shuts the connection down for its duplicates too (FileRequest): the tapdisk waits for no answer any more.
void TapdiskProcess::hang_up() noexcept {
    channel_watch_.reset();
    if (channel_) ::shutdown(channel_->fd(), SHUT_RDWR);
    channel_.reset();
}

void TapdiskProcess::drop_connection(const std::string& reason) {
    hang_up();
    lost_reason_ = reason;
    lost_timer_.arm(end_may_follow);
}

/// A tapdisk that attacks may be in its guest's hands: another one goes on with the guest's requests, or the disk is
/// held when this happens again and again.
void TapdiskProcess::ban(const std::string& reason) {
    is_banned_ = true;
    drop_connection(reason);
    kill(reason);
}

void TapdiskProcess::connection_lost() {
    const std::string reason = lost_reason_.empty() ? socket_path_ + ": not connected" : lost_reason_;
    answer_all(make_error_code(Errc::peer_closed), "its tapdisk cannot be asked (" + reason + ")");
    hooks_.lost(reason);
}

void TapdiskProcess::answer_all(std::error_code code, const std::string& message) {
    const auto unsent = std::exchange(unsent_calls_, {});
    for (auto& [id, done] : std::exchange(calls_, {}))
        done(error_reply(code, message));
    for (const Done& done : unsent)
        done(error_reply(code, message));
}

void TapdiskProcess::ended() {
    end_watch_.reset();
    kill_timer_.disarm();
    end_reason_ = process_.reap();  // not a child of ours when it was found
    if (groups_ != nullptr) groups_->remove(socket_path_);
    if (is_banned_) end_reason_ = "was killed: " + lost_reason_;
    // The tapdisk's last messages may be unread, why it ended among them. No more are read than a flood may have.
    for (int i = 0; i < unasked_burst / messages_per_wakeup && channel_watch_; ++i)
        receive();
    channel_watch_.reset();
    channel_.reset();
    lost_timer_.disarm();
    if (last_word_) {
        end_reason_ = "did not start: " + last_word_->error_message;
        answer_all(ipc::error_code_named(last_word_->error_code), "its tapdisk " + end_reason_);
    } else {
        answer_all(make_error_code(Errc::peer_closed), "its tapdisk has ended (" + end_reason_ + ")");
    }
    hooks_.ended();
}

void TapdiskProcess::terminate() {
    if (!end_watch_) return;
    ::pidfd_send_signal(process_.pidfd.get(), SIGTERM, nullptr, 0);
    if (!kill_timer_.armed()) kill_timer_.arm(end_patience);
}

void TapdiskProcess::kill(const std::string& reason) {
    log::warning("tapdisk.killed", {{"pid", std::to_string(id_.pid)}, {"reason", reason}});
    ::pidfd_send_signal(process_.pidfd.get(), SIGKILL, nullptr, 0);
}

}  // namespace blktap::tapback
