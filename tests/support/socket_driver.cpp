// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/support/socket_driver.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include "libblktap/base/error.hpp"

namespace blktap::testing {
namespace {

std::error_code connection_lost() {
    return std::make_error_code(std::errc::not_connected);
}

/// Connects to a server on this host, which does not block; a worker would have to connect to others.
UniqueFd connect(ImageOpener& files, const std::string& address) {
    UniqueFd socket = files.connect(address);
    if (::fcntl(socket.get(), F_SETFL, O_NONBLOCK) != 0) throw_system_error(address);
    return socket;
}

/// A connection that waits for the server's greeting. Deletes itself when it was greeted, or has failed.
class OpeningSocket {
  public:
    OpeningSocket(const ImageSpec& spec, const DriverContext& context, ImageOpening& opening)
        : spec_(spec),
          context_(context),
          opening_(opening),
          socket_(connect(context.files, spec.path)),
          watch_(std::in_place, context.loop, socket_.get(), EPOLLIN, [this](std::uint32_t) { receive(); }) {
        reader_.want(greeting_);
        opening_.on_cancel([this] {
            ImageOpening& cancelled = opening_;
            delete this;
            cancelled.fail(opening_cancelled());
        });
    }

  private:
    void receive() {
        const auto got = reader_.read(socket_.get());
        if (got == SocketReader::Got::not_yet) return;
        const std::unique_ptr<OpeningSocket> self{this};
        watch_.reset();
        if (got == SocketReader::Got::end) {
            return opening_.fail({connection_lost(), spec_.path + ": the server hung up"});
        }
        ImageInfo info;
        info.size_sectors = greeting_.size_sectors;
        info.read_only = spec_.access == Access::read_only;
        info.zero_copy_safe = false;
        info.waits_for_storage = true;
        opening_.succeed(std::make_unique<SocketDriver>(std::move(socket_), info, spec_.path, context_));
    }

    const ImageSpec spec_;
    const DriverContext context_;
    ImageOpening& opening_;
    UniqueFd socket_;
    SocketReader reader_;
    wire::Greeting greeting_;
    std::optional<EventLoop::Watch> watch_;
};

}  // namespace

SocketReader::Got SocketReader::read(int fd) {
    while (!rest_.empty()) {
        const ssize_t count = ::readv(fd, rest_.data(), static_cast<int>(rest_.size()));
        if (count < 0 && errno == EAGAIN) return Got::not_yet;
        if (count <= 0) return Got::end;
        auto done = static_cast<std::size_t>(count);
        while (!rest_.empty() && done >= rest_.front().iov_len) {
            done -= rest_.front().iov_len;
            rest_.erase(rest_.begin());
        }
        if (rest_.empty()) break;
        rest_.front().iov_base = static_cast<std::byte*>(rest_.front().iov_base) + done;
        rest_.front().iov_len -= done;
    }
    return Got::all;
}

SocketDriver::SocketDriver(UniqueFd socket, const ImageInfo& info, std::string address, const DriverContext& context)
    : loop_(context.loop),
      files_(context.files),
      address_(std::move(address)),
      info_(info),
      socket_(std::move(socket)),
      again_(loop_, [this] { reconnect(); }) {
    reader_.want(reply_);
    watch();
}

void SocketDriver::watch() {
    watch_.emplace(loop_, socket_.get(), EPOLLIN, [this](std::uint32_t) { receive(); });
}

void SocketDriver::start(ImageRequest& request) noexcept {
    auto& ours = request.scratch<Ours>();
    const bool connected = socket_ && reading_ != Reading::greeting;
    if (connected) return send(ours);
    if (request.kind == ImageRequest::Kind::flush) return flushes_.push_back(ours);
    request.complete(connection_lost(), Retry::when_healthy);
}

/// The buffers of the tests' sockets hold all requests; a short write counts as a lost connection.
void SocketDriver::send(Ours& ours) {
    const ImageRequest& request = ours.request;
    ours.number = ++last_number_;
    under_way_.push_back(ours);
    wire::Request header{static_cast<std::uint64_t>(request.kind), ours.number, request.range.offset_bytes(),
                         request.range.length_bytes()};
    std::vector<iovec> parts{{&header, sizeof header}};
    std::size_t length = sizeof header;
    if (request.kind == ImageRequest::Kind::write) {
        parts.insert(parts.end(), request.data.begin(), request.data.end());
        length += header.length;
    }
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    // Broken: the loop will find the connection closed, and fail all requests under way.
    if (::sendmsg(socket_.get(), &message, MSG_NOSIGNAL) != static_cast<ssize_t>(length))
        ::shutdown(socket_.get(), SHUT_RDWR);
}

void SocketDriver::receive() {
    for (;;) {
        const auto got = reader_.read(socket_.get());
        if (got == SocketReader::Got::not_yet) return;
        if (got == SocketReader::Got::end) return lose();
        if (reading_ == Reading::greeting) {
            reading_ = Reading::reply;
            reader_.want(reply_);
            List waited;
            waited.swap(flushes_);
            while (!waited.empty()) {
                Ours& flush = waited.front();
                waited.pop_front();
                send(flush);
            }
        } else if (reading_ == Reading::reply) {
            take_reply();
        } else {
            finish_reply();
        }
    }
}

void SocketDriver::take_reply() {
    for (Ours& each : under_way_) {
        if (each.number == reply_.number) answered_ = &each;
    }
    BLKTAP_ASSERT(answered_ != nullptr);
    if (reply_.length == 0) return finish_reply();
    reading_ = Reading::data;
    reader_.want({answered_->request.data.begin(), answered_->request.data.end()});
}

void SocketDriver::finish_reply() {
    Ours& ours = *std::exchange(answered_, nullptr);
    under_way_.erase(List::s_iterator_to(ours));
    reading_ = Reading::reply;
    const auto error = static_cast<int>(reply_.error);
    reader_.want(reply_);
    ours.request.complete({error, std::system_category()}, error == 0 ? Retry::never : Retry::when_healthy);
}

/// The connection is closed: no request of it can reach the server any more.
void SocketDriver::lose() {
    watch_.reset();
    socket_.reset();
    answered_ = nullptr;
    again_.arm(reconnect_delay);
    List lost;
    lost.swap(under_way_);
    while (!lost.empty()) {
        Ours& ours = lost.front();
        lost.pop_front();
        if (ours.request.kind == ImageRequest::Kind::flush) {
            flushes_.push_back(ours);
        } else {
            ours.request.complete(connection_lost(), Retry::when_healthy);
        }
    }
}

void SocketDriver::reconnect() {
    try {
        socket_ = connect(files_, address_);
        reading_ = Reading::greeting;
        reader_.want(greeting_);
        watch();
    } catch (const std::system_error&) {
        again_.arm(reconnect_delay);
    }
}

void SocketDriver::close(Closed closed) noexcept {
    BLKTAP_ASSERT(under_way_.empty() && flushes_.empty());
    again_.disarm();
    watch_.reset();
    socket_.reset();
    closed();
}

void open_socket_image(const ImageSpec& spec, const DriverContext& context, ImageOpening& opening) {
    new OpeningSocket(spec, context, opening);
}

}  // namespace blktap::testing
