// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/ipc/message_socket.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "libblktap/base/error.hpp"

namespace blktap::ipc {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::seconds patience{1};  // how long to wait for a peer that does not read or accept
constexpr int backlog = 64;

sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    // An empty name, or one that begins with a NUL, names a socket of the abstract namespace, which has no permissions.
    if (path.empty() || path.find('\0') != std::string::npos) {
        throw_error(std::make_error_code(std::errc::invalid_argument), "socket path \"" + path + "\"");
    }
    if (path.size() >= sizeof address.sun_path) {
        throw_error(std::make_error_code(std::errc::filename_too_long), path);
    }
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    return address;
}

UniqueFd open_socket(int flags) {
    UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0));
    if (!fd) throw_system_error("socket");
    return fd;
}

const sockaddr* generic(const sockaddr_un& address) {
    return reinterpret_cast<const sockaddr*>(&address);
}

/// Waits for `events` (or a hang-up); returns false if `deadline` came first.
bool wait_for(int fd, short events, SteadyClock::time_point deadline) {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now()).count();
        pollfd entry{.fd = fd, .events = events, .revents = 0};
        const int count = ::poll(&entry, 1, static_cast<int>(std::clamp<long>(left, 0, 60'000)));
        if (count > 0) return true;
        if (count < 0 && errno != EINTR) throw_system_error("poll");
        if (SteadyClock::now() >= deadline) return false;
    }
}

/// Room for the descriptors of one message; the union is for the alignment of its header.
union Control {
    cmsghdr header;
    char bytes[CMSG_SPACE(message_descriptors_max * sizeof(int))];
};

void attach(msghdr& header, Control& control, const std::vector<int>& descriptors) {
    if (descriptors.empty()) return;
    const std::size_t size_bytes = descriptors.size() * sizeof(int);
    header.msg_control = &control;
    header.msg_controllen = CMSG_SPACE(size_bytes);
    cmsghdr* part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(size_bytes);
    std::memcpy(CMSG_DATA(part), descriptors.data(), size_bytes);
}

/// Moves the received descriptors into `owned`, which has room for them, before anything can fail.
void take_descriptors(msghdr& header, std::vector<UniqueFd>& owned) noexcept {
    for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t index = 0; index < count; ++index) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(part) + index * sizeof(int), sizeof fd);
            owned.emplace_back(fd);
        }
    }
}

/// The kernel reports a reset connection once, before the messages that are still queued: the next call returns those.
bool call_again() noexcept {
    return errno == EINTR || errno == ECONNRESET;
}

/// Takes a lock that ends with the returned descriptor and leaves no file behind.
UniqueFd lock_directory_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    UniqueFd lock(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!lock) throw_system_error(directory);
    while (::flock(lock.get(), LOCK_EX) != 0) {
        if (errno != EINTR) throw_system_error("lock " + directory);
    }
    return lock;
}

/// Whether the path is a socket on which nobody listens. The type is checked first: connecting to any other file would
/// be refused as well.
bool is_stale(const std::string& path, const sockaddr_un& address) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
    const UniqueFd probe = open_socket(SOCK_NONBLOCK);
    return ::connect(probe.get(), generic(address), sizeof address) != 0 && errno == ECONNREFUSED;
}

/// The directory of `path` is locked.
UniqueFd bind_locked(const std::string& path) {
    const sockaddr_un address = address_of(path);
    UniqueFd fd = open_socket(SOCK_NONBLOCK);
    // bind() applies the mode of the socket itself, less the umask, so others may not connect at any moment.
    if (::fchmod(fd.get(), S_IRUSR | S_IWUSR) != 0) throw_system_error(path);
    if (::bind(fd.get(), generic(address), sizeof address) == 0) return fd;
    if (errno != EADDRINUSE) throw_system_error(path);
    if (!is_stale(path, address)) throw_error(std::make_error_code(std::errc::address_in_use), path);
    if (::unlink(path.c_str()) != 0) throw_system_error(path);
    if (::bind(fd.get(), generic(address), sizeof address) != 0) throw_system_error(path);
    return fd;
}

}  // namespace

MessageSocket MessageSocket::connect_to(const std::string& path) {
    const sockaddr_un address = address_of(path);
    UniqueFd fd = open_socket(0);
    // Without O_NONBLOCK connect() waits for room in the backlog, at most for the send timeout.
    const timeval limit{.tv_sec = patience.count(), .tv_usec = 0};
    if (::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0) throw_system_error(path);
    while (::connect(fd.get(), generic(address), sizeof address) != 0) {
        if (errno == EAGAIN) throw_error(std::make_error_code(std::errc::timed_out), path);
        if (errno != EINTR) throw_system_error(path);
    }
    if (::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) throw_system_error(path);
    return MessageSocket(std::move(fd));
}

void MessageSocket::send(const std::string& text, const std::vector<int>& descriptors) {
    if (text.empty() || text.size() > message_size_max_bytes || descriptors.size() > message_descriptors_max) {
        throw_error(std::make_error_code(std::errc::message_size),
                    "send " + std::to_string(text.size()) + " bytes and " + std::to_string(descriptors.size()) +
                        " descriptors");
    }
    iovec data{.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()};
    Control control{};
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    attach(header, control, descriptors);

    const auto deadline = SteadyClock::now() + patience_;
    while (::sendmsg(fd_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        if (call_again()) continue;
        if (errno != EAGAIN) throw_system_error("send");
        if (!wait_for(fd_.get(), POLLOUT, deadline)) {
            throw_error(std::make_error_code(std::errc::timed_out), "send: the peer does not read");
        }
    }
}

std::optional<Message> MessageSocket::receive() {
    Message message;
    message.text.resize(message_size_max_bytes);
    message.descriptors.reserve(message_descriptors_max);
    iovec data{.iov_base = message.text.data(), .iov_len = message.text.size()};
    Control control{};
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    if (takes_descriptors_) {
        header.msg_control = &control;
        header.msg_controllen = sizeof control;
    }

    ssize_t size = 0;
    while ((size = ::recvmsg(fd_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) < 0) {
        if (call_again()) continue;
        if (errno == EAGAIN) return std::nullopt;
        throw_system_error("receive");
    }
    take_descriptors(header, message.descriptors);
    if (size == 0) throw_error(Errc::peer_closed, "receive");
    if ((header.msg_flags & MSG_TRUNC) != 0) {
        throw_error(Errc::bad_message, "longer than " + std::to_string(message_size_max_bytes) + " bytes");
    }
    if ((header.msg_flags & MSG_CTRUNC) != 0 && !takes_descriptors_)
        throw_error(Errc::bad_message, "with a descriptor");
    if ((header.msg_flags & MSG_CTRUNC) != 0) {
        throw_error(Errc::bad_message, "more than " + std::to_string(message_descriptors_max) +
                                           " descriptors, or more than this process may have");
    }
    message.text.resize(static_cast<std::size_t>(size));
    return message;
}

bool MessageSocket::wait_readable(SteadyClock::time_point deadline) const {
    return wait_for(fd_.get(), POLLIN, deadline);
}

pid_t MessageSocket::peer_pid() const {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (::getsockopt(fd_.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) throw_system_error("SO_PEERCRED");
    return credentials.pid;
}

UniqueFd bind_message_socket(const std::string& path) {
    const UniqueFd lock = lock_directory_of(path);
    return bind_locked(path);
}

MessageListener::MessageListener(std::string path) : path_(std::move(path)) {
    // Between bind() and listen() a socket looks stale to another process that starts at the same time.
    const UniqueFd lock = lock_directory_of(path_);
    fd_ = bind_locked(path_);
    listen();
    struct stat status {};
    if (::lstat(path_.c_str(), &status) != 0) throw_system_error(path_);
    device_ = status.st_dev;
    inode_ = status.st_ino;
}

MessageListener::MessageListener(UniqueFd bound) : fd_(std::move(bound)) {
    if (::fcntl(fd_.get(), F_SETFD, FD_CLOEXEC) != 0) throw_system_error("the control socket");
    listen();
}

/// From now on this process is the one that SO_PEERCRED names to those who connect.
void MessageListener::listen() {
    if (::listen(fd_.get(), backlog) != 0) throw_system_error(path_.empty() ? "the control socket" : path_);
    spare_.reset(::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
}

MessageListener::~MessageListener() {
    if (path_.empty()) return;
    struct stat status {};
    const bool ours = ::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_;
    if (ours) ::unlink(path_.c_str());
}

std::optional<MessageSocket> MessageListener::accept() {
    UniqueFd fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd) return MessageSocket(std::move(fd));
    if (errno == EMFILE || errno == ENFILE) refuse_one();
    return std::nullopt;
}

void MessageListener::refuse_one() noexcept {
    spare_.reset();
    { const UniqueFd refused(::accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)); }
    spare_.reset(::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
}

}  // namespace blktap::ipc
