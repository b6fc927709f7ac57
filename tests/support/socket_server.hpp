// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// SocketServer: the server of SocketDriver's disk, in the loop of the test. The test decides when it greets, answers,
// goes away and comes back.
#pragma once

#include <cstring>
#include <deque>
#include <fcntl.h>
#include <map>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/support/socket_driver.hpp"

namespace blktap::testing {

class SocketServer {
  public:
    SocketServer(EventLoop& loop, std::string path, std::uint64_t size_sectors)
        : disk(size_sectors * sector_size_bytes), loop_(loop), path_(std::move(path)) {
        come_back();
    }
    SocketServer(const SocketServer&) = delete;
    SocketServer& operator=(const SocketServer&) = delete;

    std::vector<std::byte> disk;
    bool greets = true;       ///< greets each connection at once
    bool answers = true;      ///< answers each request at once
    std::uint64_t error = 0;  ///< errno of every answer
    int accepted = 0;         ///< number of connections so far

    std::string address() const { return "unix:" + path_; }
    bool connected() const { return bool{connection_}; }
    /// Number of unanswered requests.
    std::size_t waiting() const { return waiting_.size(); }

    void greet() {
        const wire::Greeting greeting{disk.size() / sector_size_bytes};
        send(&greeting, sizeof greeting, {});
    }
    void answer_all() {
        while (!waiting_.empty()) {
            answer(waiting_.front());
            waiting_.pop_front();
        }
    }
    /// Closes the connection, and forgets its requests.
    void hang_up() {
        connection_watch_.reset();
        connection_.reset();
        waiting_.clear();
    }
    /// Refuses connections until come_back().
    void go_away() {
        hang_up();
        listener_watch_.reset();
        listener_.reset();
        ::unlink(path_.c_str());
    }
    void come_back() {
        listener_ = UniqueFd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
        if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
            ::listen(listener_.get(), 4) != 0)
            throw std::system_error(errno, std::system_category(), path_);
        listener_watch_.emplace(loop_, listener_.get(), EPOLLIN, [this](std::uint32_t) { accept(); });
    }

  private:
    void accept() {
        hang_up();
        connection_ = UniqueFd{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
        ++accepted;
        reader_.want(request_);
        reading_data_ = false;
        connection_watch_.emplace(loop_, connection_.get(), EPOLLIN, [this](std::uint32_t) { receive(); });
        if (greets) greet();
    }
    void receive() {
        for (;;) {
            const auto got = reader_.read(connection_.get());
            if (got == SocketReader::Got::not_yet) return;
            if (got == SocketReader::Got::end) return hang_up();
            const bool writes = request_.kind == static_cast<std::uint64_t>(ImageRequest::Kind::write);
            if (writes && !std::exchange(reading_data_, true)) {
                data_.resize(request_.length);
                reader_.want(std::vector<iovec>{{data_.data(), data_.size()}});
                continue;
            }
            reading_data_ = false;
            waiting_.push_back({request_, writes ? data_ : std::vector<std::byte>{}});
            reader_.want(request_);
            if (answers) answer_all();
        }
    }
    struct Waiting {
        wire::Request request;
        std::vector<std::byte> data;
    };
    /// A write is on the disk when it is answered.
    void answer(const Waiting& waiting) {
        const wire::Request& request = waiting.request;
        std::byte* const place = disk.data() + request.offset;
        if (error == 0 && !waiting.data.empty()) std::memcpy(place, waiting.data.data(), waiting.data.size());
        const bool reads = request.kind == static_cast<std::uint64_t>(ImageRequest::Kind::read);
        const std::uint64_t length = reads && error == 0 ? request.length : 0;
        const wire::Reply reply{request.number, error, length};
        send(&reply, sizeof reply, {place, length});
    }
    void send(const void* header, std::size_t length, std::span<const std::byte> data) {
        std::vector<std::byte> bytes(length + data.size());
        std::memcpy(bytes.data(), header, length);
        if (!data.empty()) std::memcpy(bytes.data() + length, data.data(), data.size());
        BLKTAP_ASSERT(::send(connection_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
                      static_cast<ssize_t>(bytes.size()));
    }

    EventLoop& loop_;
    const std::string path_;
    UniqueFd listener_, connection_;
    std::optional<EventLoop::Watch> listener_watch_, connection_watch_;
    SocketReader reader_;
    wire::Request request_;
    bool reading_data_ = false;
    std::vector<std::byte> data_;
    std::deque<Waiting> waiting_;
};

}  // namespace blktap::testing
