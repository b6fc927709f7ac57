// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/replay/frontend/tapdisk_connection.hpp"

#include <poll.h>
#include <thread>
#include <unistd.h>

#include "tests/replay/failure.hpp"
#include "tests/replay/trace/recorder.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace blktap;
using namespace blktap::replay;
using Catch::Contains;

namespace {

/// A control socket whose server answers each request with what `answer` says, then closes.
class Server {
  public:
    using Answer = std::function<void(ipc::Channel&, ipc::Request)>;
    Server(unsigned requests, Answer answer)
        : thread_([this, requests, answer] {
              wait(listener_.fd());
              ipc::Channel channel(*listener_.accept());
              for (unsigned i = 0; i < requests; ++i) {
                  wait(channel.fd());
                  answer(channel, *channel.next_request());
              }
          }) {}
    ~Server() { thread_.join(); }
    std::string path() const { return directory_.path("control"); }

  private:
    static void wait(int fd) {
        pollfd readable{fd, POLLIN, 0};
        ::poll(&readable, 1, 10'000);
    }
    testing::TemporaryDirectory directory_{};
    ipc::MessageListener listener_{path()};
    std::thread thread_;
};

void wait_for_hangup(const Connection& connection) {
    pollfd readable{connection.fd(), POLLIN, 0};
    REQUIRE(::poll(&readable, 1, 10'000) == 1);
}

}  // namespace

TEST_CASE("tapdisk connection: connects until hangup, and gives back the disk's description", "[unit][replay]") {
    ipc::ConnectArguments asked;
    {
        Server server(2, [&asked](ipc::Channel& channel, const ipc::Request& request) {
            if (request.name == "connect") {
                asked = request.arguments.get<ipc::ConnectArguments>();
                ipc::DeviceDescription device;
                device.size_sectors = 77;
                channel.reply(request.id, device);
            } else {
                channel.reply(request.id, ipc::Json::object());
            }
        });
        TapdiskConnection connection(server.path());
        ipc::ConnectArguments rings;
        rings.domain = 5;
        rings.queues.push_back({{8}, 3});
        CHECK(connection.connect(rings, {}).device.size_sectors == 77);
        CHECK(connection.backend_pid() == ::getpid());
        CHECK_NOTHROW(connection.disconnect());
        wait_for_hangup(connection);
        CHECK_THROWS_AS(connection.check(), BackendGone);
        CHECK_THROWS_AS(connection.disconnect(), BackendGone);
    }
    CHECK(asked.until_hangup);
    CHECK(asked.domain == 5);
}

TEST_CASE("tapdisk connection: a refusal has the tapdisk's reason", "[unit][replay]") {
    Server server(1, [](ipc::Channel& channel, const ipc::Request& request) {
        channel.reply_error(request.id, Errc::wrong_state, "no image is open");
    });
    TapdiskConnection connection(server.path());
    ipc::ConnectArguments rings;
    rings.queues.push_back({{8}, 3});
    CHECK_THROWS_WITH(connection.connect(rings, {}), Contains("refused to connect: no image is open (wrong-state)"));
}

TEST_CASE("tapdisk connection: a socket that is not there is named", "[unit][replay]") {
    CHECK_THROWS_WITH(TapdiskConnection("/nowhere/control"), Contains("/nowhere/control"));
}

TEST_CASE("record: hands the tapdisk a file to write to, and tells it to stop", "[unit][replay]") {
    std::vector<bool> starts;
    char path[] = "/tmp/replay-test-XXXXXX";
    const UniqueFd file(::mkstemp(path));
    {
        Server server(2, [&starts](ipc::Channel& channel, ipc::Request request) {
            starts.push_back(request.arguments.get<ipc::Record>().start);
            if (starts.back() && request.descriptors.size() == 1) {
                CHECK(::write(request.descriptors[0].get(), "trace", 5) == 5);
            }
            channel.reply(request.id, ipc::Json::object());
        });
        RecordOptions options;
        options.tapdisk = server.path();
        options.output = path;
        options.duration = std::chrono::milliseconds(1);
        CHECK(run_record(options) == Exit::okay);
    }
    CHECK(starts == std::vector{true, false});
    char contents[6] = {};
    CHECK(::pread(file.get(), contents, 5, 0) == 5);
    CHECK(std::string(contents) == "trace");
    ::unlink(path);
}

TEST_CASE("record: a tapdisk that dies meanwhile is a failure", "[unit][replay]") {
    Server server(
        1, [](ipc::Channel& channel, const ipc::Request& request) { channel.reply(request.id, ipc::Json::object()); });
    RecordOptions options;
    options.tapdisk = server.path();
    options.output = "/dev/null";
    CHECK_THROWS_AS(run_record(options), BackendGone);
}
