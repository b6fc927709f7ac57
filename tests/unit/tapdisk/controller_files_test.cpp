// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Images whose files the controller opens: requests in the other direction, while tapdisk serves a request.
#include <fcntl.h>
#include <sys/stat.h>
#include <thread>

#include "tapdisk/controller_image_opener.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/tapdisk/controlled_disk.hpp"

using namespace blktap;
using namespace blktap::testing;
using ipc::Json;
using ring::Status;

namespace {

/// Answers one "open-file" on a connection, from a thread of its own: the server waits for it inside of its request.
class FileOpener {
  public:
    /// `answer` writes the reply to the request.
    FileOpener(ipc::MessageSocket& socket, std::function<void(ipc::Channel&, const ipc::Request&)> answer)
        : thread_([&socket, answer = std::move(answer)] {
              ipc::Channel channel{ipc::MessageSocket{UniqueFd{::fcntl(socket.fd(), F_DUPFD_CLOEXEC, 0)}}};
              const auto soon = std::chrono::steady_clock::now() + std::chrono::seconds(30);
              if (!socket.wait_readable(soon)) return;
              if (const auto request = channel.next_request()) answer(channel, *request);
          }) {}
    ~FileOpener() { thread_.join(); }

  private:
    std::thread thread_;
};

}  // namespace

TEST_CASE("control: with files from the controller tapdisk opens what the controller hands it", "[unit][tapdisk]") {
    Controlled t;
    Json image = t.image();
    image["files"] = "controller";
    image["path"] = "a name that only the controller knows";
    std::string asked;
    std::uint64_t open = 0;
    {
        const FileOpener opener{t.client.socket(), [&](ipc::Channel& channel, const ipc::Request& request) {
                                    asked = request.name + " " + request.arguments.at("path").get<std::string>();
                                    const UniqueFd file{::open(t.machine.image_path().c_str(), O_RDWR | O_CLOEXEC)};
                                    channel.reply(request.id, Json::object(), {file.get()});
                                }};
        open = t.client.send("open", image);
        t.machine.settle();
    }
    CHECK(t.client.reply(open).error_code.empty());
    CHECK(asked == "open-file a name that only the controller knows");
    REQUIRE(t.client.error("connect", t.frontend()).empty());
    CHECK(t.read(1) == Status::okay);
}

TEST_CASE("control: a controller that refuses a file, or forgets it, makes open fail", "[unit][tapdisk]") {
    Controlled t;
    Json image = t.image();
    image["files"] = "controller";
    const bool refuses = GENERATE(true, false);
    std::uint64_t open = 0;
    {
        const FileOpener opener{t.client.socket(), [&](ipc::Channel& channel, const ipc::Request& request) {
                                    if (refuses) {
                                        channel.reply_error(request.id, {EACCES, std::system_category()}, "not yours");
                                    } else {
                                        channel.reply(request.id, Json::object());
                                    }
                                }};
        open = t.client.send("open", image);
        t.machine.settle();
    }
    const ipc::Reply reply = t.client.reply(open);
    CHECK(reply.error_code == (refuses ? "system:EACCES" : "bad-message"));
    CHECK_THAT(reply.error_message, Catch::Contains(refuses ? "not yours" : t.machine.image_path()));
    CHECK(t.client.call("stats").result.at("state") == "closed");
}

TEST_CASE("control: when the controller that opens files is gone, resume fails and the disk stays paused",
          "[unit][tapdisk]") {
    Controlled t;
    std::optional<ControlClient> controller{std::in_place, t.machine, t.path};
    Json image = t.image();
    image["files"] = "controller";
    std::uint64_t open = 0;
    {
        const FileOpener opener{controller->socket(), [&](ipc::Channel& channel, const ipc::Request& request) {
                                    const UniqueFd file{::open(t.machine.image_path().c_str(), O_RDWR | O_CLOEXEC)};
                                    channel.reply(request.id, Json::object(), {file.get()});
                                }};
        open = controller->send("open", image);
        t.machine.settle();
    }
    REQUIRE(controller->reply(open).error_code.empty());
    REQUIRE(t.client.error("pause").empty());
    controller.reset();
    t.machine.settle();
    CHECK(t.client.error("resume") == "peer-closed");
    CHECK(t.client.call("stats").result.at("state") == "paused");
    CHECK(t.client.error("resume", {{"image", t.image()}}).empty());
}

TEST_CASE("control: what a controller asks while it is asked for a file is answered as well", "[unit][tapdisk]") {
    Controlled t;
    ControlClient controller{t.machine, t.path};
    Json image = t.image();
    image["files"] = "controller";
    const auto hand_over = [&](ipc::Channel& channel, const ipc::Request& request) {
        const UniqueFd file{::open(t.machine.image_path().c_str(), O_RDWR | O_CLOEXEC)};
        channel.reply(request.id, Json::object(), {file.get()});
    };
    std::uint64_t open = 0;
    {
        const FileOpener opener{controller.socket(), hand_over};
        open = controller.send("open", image);
        t.machine.settle();
    }
    REQUIRE(controller.reply(open).error_code.empty());
    REQUIRE(t.client.error("pause").empty());
    std::uint64_t stats = 0;
    std::uint64_t resume = 0;
    {
        const FileOpener opener{controller.socket(), [&](ipc::Channel& channel, const ipc::Request& request) {
                                    stats = controller.send("stats");  // arrives inside of the server's call
                                    hand_over(channel, request);
                                }};
        resume = t.client.send("resume");
        t.machine.settle();
    }
    CHECK(t.client.reply(resume).error_code.empty());
    t.machine.settle();
    CHECK(controller.has_reply(stats));
}

TEST_CASE("control: a tapdisk gives its image's files to the controller that asks for them", "[unit][tapdisk]") {
    Controlled t;
    CHECK(t.client.error("files") == "wrong-state");
    Json image = t.image();
    image["files"] = "controller";
    const auto open = [&](const char* request, const Json& arguments) {
        const FileOpener opener{t.client.socket(), [&](ipc::Channel& channel, const ipc::Request& asked) {
                                    const UniqueFd file{::open(t.machine.image_path().c_str(), O_RDWR | O_CLOEXEC)};
                                    channel.reply(asked.id, Json::object(), {file.get()});
                                }};
        const std::uint64_t id = t.client.send(request, arguments);
        t.machine.settle();
        return id;
    };
    REQUIRE(t.client.reply(open("open", image)).error_code.empty());
    const auto check_files = [&] {
        ipc::Reply reply = t.client.call("files");
        REQUIRE(reply.descriptors.size() == 1);
        CHECK(reply.result.get<ipc::FilesResult>().files ==
              std::vector<ipc::OpenFileArguments>{{t.machine.image_path(), false, true}});
        struct stat ours {};
        struct stat image_file {};
        REQUIRE(::fstat(reply.descriptors.front().get(), &ours) == 0);
        REQUIRE(::stat(t.machine.image_path().c_str(), &image_file) == 0);
        CHECK(ours.st_ino == image_file.st_ino);
    };
    check_files();
    REQUIRE(t.client.error("pause").empty());
    CHECK(t.client.error("files") == "wrong-state");
    REQUIRE(t.client.reply(open("resume", Json::object())).error_code.empty());
    check_files();
    REQUIRE(t.client.error("close").empty());
    // A controller does not get the files of an image that tapdisk opened itself.
    REQUIRE(t.client.error("open", t.image()).empty());
    CHECK(t.client.call("files").descriptors.empty());
}

TEST_CASE("control: what the controller says about a device's discards is what the driver is told", "[unit][tapdisk]") {
    Controlled t;
    REQUIRE(t.client.error("stats").empty());  // the server knows its client
    DeviceDiscard told;
    {
        const FileOpener opener{
            t.client.socket(), [&](ipc::Channel& channel, const ipc::Request& request) {
                const UniqueFd file{::open(t.machine.image_path().c_str(), O_RDWR | O_CLOEXEC)};
                channel.reply(request.id, ipc::OpenFileResult{1 << 20, std::nullopt, 512}, {file.get()});
            }};
        ControllerImageOpener files{*t.server, 1, "image"};
        const UniqueFd fd = files.open("image", Access::read_write, Caching::buffered);
        told = files.device_discard(fd.get());
        CHECK_FALSE(files.device_discard(-1).max_bytes.has_value());
    }
    CHECK(told.max_bytes == 1 << 20);
    CHECK_FALSE(told.granularity_bytes.has_value());
    CHECK(told.alignment_bytes == 512);
}
