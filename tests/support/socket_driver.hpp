// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// SocketDriver: a disk on a server, behind a socket: "remote:ADDRESS". Its image is open when the server has sent the
// size of the disk. When the connection is lost, requests under way may be sent again, because the old connection is
// closed; the driver reconnects until the server is there. For the server of the tests see SocketServer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/intrusive/list.hpp>

#include "drivers/formats/format.hpp"
#include "libblktap/base/event_loop.hpp"
#include "libblktap/driver_api/image_opening.hpp"

namespace blktap::testing {

/// Messages on the socket.
namespace wire {
struct Greeting {
    std::uint64_t size_sectors = 0;
};
/// `length` bytes follow a write.
struct Request {
    std::uint64_t kind = 0;  ///< ImageRequest::Kind
    std::uint64_t number = 0;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
};
/// `length` bytes follow.
struct Reply {
    std::uint64_t number = 0;
    std::uint64_t error = 0;  ///< errno
    std::uint64_t length = 0;
};
}  // namespace wire

/// Fills memory from a socket as bytes come.
class SocketReader {
  public:
    void want(std::vector<iovec> memory) { rest_ = std::move(memory); }
    template <class T>
    void want(T& value) {
        want(std::vector<iovec>{{&value, sizeof value}});
    }
    enum class Got { all, not_yet, end };
    Got read(int fd);

  private:
    std::vector<iovec> rest_;
};

class SocketDriver final : public ImageDriver {
  public:
    static constexpr Format format{.name = "remote", .tap_type = "remote"};
    static constexpr Nanoseconds reconnect_delay = std::chrono::milliseconds(50);

    /// `socket` is connected and was greeted.
    SocketDriver(UniqueFd socket, const ImageInfo& info, std::string address, const DriverContext& context);

    const ImageInfo& info() const noexcept override { return info_; }
    ScratchSize scratch_size() const noexcept override { return ScratchSize::of<Ours>(); }
    void make_scratch(ImageRequest& request) noexcept override { request.make_scratch<Ours>(request); }
    void end_scratch(ImageRequest& request) noexcept override { request.end_scratch<Ours>(); }
    void start(ImageRequest& request) noexcept override;
    void close(Closed closed) noexcept override;

  private:
    struct Ours : boost::intrusive::list_base_hook<> {
        explicit Ours(ImageRequest& its_request) noexcept : request(its_request) {}
        ImageRequest& request;
        std::uint64_t number = 0;
    };
    using List = boost::intrusive::list<Ours>;

    void send(Ours& ours);
    void watch();
    void receive();
    void take_reply();
    void finish_reply();
    void lose();
    void reconnect();

    EventLoop& loop_;
    ImageOpener& files_;
    const std::string address_;
    const ImageInfo info_;
    UniqueFd socket_;
    std::optional<EventLoop::Watch> watch_;
    EventLoop::Timer again_;
    SocketReader reader_;
    enum class Reading { greeting, reply, data } reading_ = Reading::reply;
    wire::Greeting greeting_;
    wire::Reply reply_;
    Ours* answered_ = nullptr;  ///< whose data is coming
    List under_way_;
    List flushes_;  ///< for the next connection: this server's writes are durable, so nothing is lost between two
    std::uint64_t last_number_ = 0;
};

/// An OpenImage.
void open_socket_image(const ImageSpec& spec, const DriverContext& context, ImageOpening& opening);

}  // namespace blktap::testing
