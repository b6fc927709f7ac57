// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/control/host/store_relay.hpp"

#include <array>
#include <cstdlib>
#include <cstring>
#include <list>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "libblktap/base/error.hpp"

namespace blktap::control_test {
namespace {

/// What every message of xenstore's begins with. Source: Xen's public/io/xs_wire.h.
struct Header {
    std::uint32_t type;
    std::uint32_t request;
    std::uint32_t transaction;
    std::uint32_t length_bytes;
};

constexpr std::uint32_t payload_max_bytes = 4096;
// Types of messages.
constexpr std::uint32_t type_transaction_start = 6;
constexpr std::uint32_t type_write = 11;
constexpr std::uint32_t type_set_permissions = 14;
constexpr std::uint32_t type_error = 16;

sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    if (path.size() >= sizeof(address.sun_path)) throw std::runtime_error(path + ": too long for a socket");
    std::memcpy(static_cast<void*>(address.sun_path), path.c_str(), path.size() + 1);
    return address;
}

UniqueFd new_socket() {
    UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (!fd) throw_system_error("socket");
    return fd;
}

/// False: the other side is gone.
bool read_all(int fd, char* bytes, std::size_t length) {
    for (std::size_t done = 0; done < length;) {
        const ssize_t count = ::read(fd, bytes + done, length - done);
        if (count <= 0) return false;
        done += static_cast<std::size_t>(count);
    }
    return true;
}

bool write_all(int fd, const char* bytes, std::size_t length) {
    for (std::size_t done = 0; done < length;) {
        const ssize_t count = ::send(fd, bytes + done, length - done, MSG_NOSIGNAL);
        if (count <= 0) return false;
        done += static_cast<std::size_t>(count);
    }
    return true;
}

struct Message {
    std::array<char, sizeof(Header) + payload_max_bytes> bytes{};

    Header header() const {
        Header header{};
        std::memcpy(&header, bytes.data(), sizeof(header));
        return header;
    }
};

/// Errors: throws std::runtime_error when the other side is gone.
Message read_message(int fd) {
    Message message;
    if (!read_all(fd, message.bytes.data(), sizeof(Header)) || message.header().length_bytes > payload_max_bytes)
        throw std::runtime_error("no message");
    if (!read_all(fd, message.bytes.data() + sizeof(Header), message.header().length_bytes))
        throw std::runtime_error("half a message");
    return message;
}

/// Errors: as read_message().
void write_message(int fd, const Message& message) {
    if (!write_all(fd, message.bytes.data(), sizeof(Header) + message.header().length_bytes))
        throw std::runtime_error("nobody reads");
}

}  // namespace

struct StoreRelay::Client {
    UniqueFd program;
    UniqueFd store;
};

StoreRelay::StoreRelay() : listener_(new_socket()), ending_(::eventfd(0, EFD_CLOEXEC)) {
    const sockaddr_un address = address_of(path());
    if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
        ::listen(listener_.get(), SOMAXCONN) != 0)
        throw_system_error(path());
    thread_ = std::thread([this] { run(); });
}

StoreRelay::~StoreRelay() {
    ::eventfd_write(ending_.get(), 1);
    thread_.join();
}

void StoreRelay::before_message(unsigned message, std::function<void()> act) {
    const std::lock_guard lock{mutex_};
    messages_ = 0;
    when_ = message;
    act_ = std::move(act);
    happened_ = false;
}

bool StoreRelay::end() {
    const std::lock_guard lock{mutex_};
    when_ = 0;
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    return happened_;
}

unsigned StoreRelay::messages() {
    const std::lock_guard lock{mutex_};
    return messages_;
}

void StoreRelay::count() {
    const std::lock_guard lock{mutex_};
    if (++messages_ != when_) return;
    happened_ = true;
    try {
        act_();
    } catch (...) {
        error_ = std::current_exception();
    }
}

void StoreRelay::answer_by(std::function<const char*(Asks)> judge) {
    const std::lock_guard lock{mutex_};
    judge_ = std::move(judge);
    refused_ = 0;
}

unsigned StoreRelay::refused() {
    const std::lock_guard lock{mutex_};
    return refused_;
}

/// Only requests that xenstored itself may refuse for lack of something.
const char* StoreRelay::judge(std::uint32_t type) {
    const std::lock_guard lock{mutex_};
    const bool writes = type == type_transaction_start || (type >= type_write && type <= type_set_permissions);
    const bool reads = type > 0 && type < type_transaction_start;
    if (!judge_ || (!writes && !reads)) return nullptr;
    const char* const error = judge_(writes ? Asks::writes : Asks::reads);
    if (error != nullptr) ++refused_;
    return error;
}

/// One whole message of the program's. Errors: throws std::runtime_error when either side is gone.
void StoreRelay::forward(const Client& client) {
    Message message = read_message(client.program.get());
    count();
    const char* const error = judge(message.header().type);
    if (error == nullptr) return write_message(client.store.get(), message);
    Header answer = message.header();
    answer.type = type_error;
    answer.length_bytes = static_cast<std::uint32_t>(std::strlen(error) + 1);
    std::memcpy(message.bytes.data(), &answer, sizeof(answer));
    std::memcpy(message.bytes.data() + sizeof(answer), error, answer.length_bytes);
    write_message(client.program.get(), message);
}

void StoreRelay::run() {
    const sockaddr_un xenstored = address_of(std::getenv("XENSTORED_PATH"));
    std::list<Client> clients;
    for (;;) {
        std::vector<pollfd> fds{{ending_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
        for (const Client& client : clients) {
            fds.push_back({client.program.get(), POLLIN, 0});
            fds.push_back({client.store.get(), POLLIN, 0});
        }
        ::poll(fds.data(), fds.size(), -1);
        if (fds[0].revents != 0) return;
        auto event = fds.begin() + 2;
        for (auto client = clients.begin(); client != clients.end();) {
            bool lives = true;
            const pollfd program = *event++;
            const pollfd store = *event++;
            try {
                if (program.revents != 0) forward(*client);
                if (store.revents != 0) write_message(client->program.get(), read_message(store.fd));
            } catch (const std::runtime_error&) {
                lives = false;
            }
            client = lives ? std::next(client) : clients.erase(client);
        }
        if (fds[1].revents == 0) continue;
        Client client{UniqueFd{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)}, new_socket()};
        if (::connect(client.store.get(), reinterpret_cast<const sockaddr*>(&xenstored), sizeof(xenstored)) == 0)
            clients.push_back(std::move(client));
    }
}

}  // namespace blktap::control_test
