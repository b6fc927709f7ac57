// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/ipc/channel.hpp"

#include "tests/unit/ipc/socket_fixture.hpp"

namespace blktap::ipc {
namespace {

using std::chrono::milliseconds;

/// A channel and the bare socket on its other side. Sockets buffer, so one thread plays both sides: the peer's messages
/// are sent before the call that waits for them.
struct Fixture {
    explicit Fixture(std::pair<UniqueFd, UniqueFd> ends = connected_pair())
        : channel(MessageSocket(std::move(ends.first))), peer(std::move(ends.second)) {}

    Json peer_received() { return Json::parse(peer.receive().value().text); }
    Reply call(const std::string& name = "stats") { return channel.call(name, Json::object(), {}, milliseconds(0)); }

    Channel channel;
    MessageSocket peer;
};

const char* result_1 = R"({"version": 1, "id": 1, "result": {"a": 1}})";

Message request_message(const std::string& name) {
    return {R"({"version": 1, "id": 1, "request": ")" + name + "\"}", {}};
}

}  // namespace

TEST_CASE("channel: a call sends a request and returns its reply", "[unit][ipc]") {
    Fixture at;
    at.peer.send(result_1);
    const Reply reply = at.channel.call("connect", {{"domain", 3}});
    CHECK(reply.id == 1);
    CHECK(reply.result == Json{{"a", 1}});
    CHECK(reply.error_code.empty());
    CHECK(at.peer_received() ==
          Json{{"version", 1}, {"id", 1}, {"request", "connect"}, {"arguments", {{"domain", 3}}}});
}

TEST_CASE("channel: each call has its own id", "[unit][ipc]") {
    Fixture at;
    at.peer.send(result_1);
    at.peer.send(R"({"version": 1, "id": 2, "result": {"b": 2}})");
    at.call();
    CHECK(at.call().result == Json{{"b", 2}});
}

TEST_CASE("channel: null arguments and a null result are sent as empty objects", "[unit][ipc]") {
    Fixture at;
    at.peer.send(result_1);
    at.channel.call("stats", {});
    CHECK(at.peer_received().at("arguments") == Json::object());
    at.channel.reply(5, {});
    CHECK(at.peer_received().at("result") == Json::object());
}

TEST_CASE("channel: descriptors travel both ways", "[unit][ipc]") {
    Fixture at;
    Pipe sent;
    Pipe returned;
    at.peer.send(result_1, {returned.reader.get()});
    const Reply reply = at.channel.call("record", {}, {sent.writer.get()});
    REQUIRE(reply.descriptors.size() == 1);
    REQUIRE(::write(returned.writer.get(), "r", 1) == 1);
    char byte = 0;
    CHECK(::read(reply.descriptors[0].get(), &byte, 1) == 1);
    CHECK(at.peer.receive()->descriptors.size() == 1);

    at.channel.reply(1, {}, {sent.writer.get()});
    CHECK(at.peer.receive()->descriptors.size() == 1);
}

TEST_CASE("channel: an error reply to a call is a value", "[unit][ipc]") {
    Fixture at;
    at.peer.send(R"({"version": 1, "id": 1, "error": {"code": "wrong-state", "message": "no image is open"}})");
    const Reply reply = at.call();
    CHECK(reply.error_code == "wrong-state");
    CHECK(reply.error_message == "no image is open");
}

TEST_CASE("channel: a call learns that the other side could not parse it", "[unit][ipc]") {
    Fixture at;
    at.peer.send(R"({"version": 2, "id": null, "error": {"code": "bad-version", "message": "I speak 2"}})");
    CHECK(at.call().error_code == "bad-version");
}

TEST_CASE("channel: throw_if_error throws what the other side caught", "[unit][ipc]") {
    Fixture at;
    const std::system_error caught(ENOENT, std::system_category(), "/images/a");
    at.channel.reply_error(3, caught.code(), caught.what());
    const Parsed parsed = parse_message(at.peer.receive().value());
    const auto thrown = error_of([&] { throw_if_error(*parsed.reply); });
    CHECK(thrown.code() == caught.code());
    CHECK(std::string(thrown.what()) == caught.what());
    at.channel.reply_error(4, Errc::image_invalid, "/images/a: is marked as corrupt");
    const Parsed reasoned = parse_message(at.peer.receive().value());
    const auto whole = error_of([&] { throw_if_error(*reasoned.reply); });
    CHECK(whole.code() == Errc::image_invalid);
    CHECK(std::string(whole.what()) == "/images/a: is marked as corrupt");
    CHECK_NOTHROW(throw_if_error(Reply{}));
}

TEST_CASE("channel: requests that arrive during a call are kept in order", "[unit][ipc]") {
    Fixture at;
    Pipe pipe;
    at.peer.send(request_message("first").text, {pipe.writer.get()});
    at.peer.send(request_message("second").text);
    at.peer.send(result_1);
    at.peer.send(request_message("third").text);
    CHECK(at.call().id == 1);
    const auto first = at.channel.next_request();
    CHECK(first->name == "first");
    CHECK(first->descriptors.size() == 1);
    CHECK(at.channel.next_request()->name == "second");
    CHECK(at.channel.next_request()->name == "third");
    CHECK_FALSE(at.channel.next_request().has_value());
}

TEST_CASE("channel: a peer cannot pile up requests during a call", "[unit][ipc]") {
    Fixture at;
    for (int count = 0; count < 17; ++count)
        at.peer.send(request_message("again").text);
    CHECK(error_of([&] { at.call(); }).code() == Errc::bad_message);
}

TEST_CASE("channel: a call without a reply times out, and its late reply is nobody else's", "[unit][ipc]") {
    Fixture at;
    CHECK(error_of([&] { at.call(); }).code() == std::errc::timed_out);
    at.peer.send(result_1);
    at.peer.send(R"({"version": 1, "id": 2, "result": {"second": true}})");
    CHECK(at.call().result == Json{{"second", true}});
}

TEST_CASE("channel: the longest timeout there is does not overflow", "[unit][ipc]") {
    Fixture at;
    at.peer.send(result_1);
    CHECK(at.channel.call("stats", {}, {}, milliseconds::max()).id == 1);
}

TEST_CASE("channel: a call ends when the peer goes away", "[unit][ipc]") {
    Fixture at;
    at.peer.send(request_message("last").text);
    REQUIRE(::shutdown(at.peer.fd(), SHUT_WR) == 0);
    CHECK(error_of([&] { at.call(); }).code() == Errc::peer_closed);
    CHECK(at.channel.next_request()->name == "last");
    at.peer = MessageSocket();
    CHECK(error_of([&] { at.call(); }).code() == std::errc::broken_pipe);
    CHECK(error_of([&] { at.channel.next_request(); }).code() == Errc::peer_closed);
}

TEST_CASE("channel: a malformed reply ends the call", "[unit][ipc]") {
    Fixture at;
    at.peer.send("junk");
    CHECK(error_of([&] { at.call(); }).code() == Errc::bad_message);
}

TEST_CASE("channel: a request with a string that is not UTF-8 is not sent", "[unit][ipc]") {
    Fixture at;
    const auto error = error_of([&] { at.channel.call("open", {{"path", "/images/\xff"}}); });
    CHECK(error.code() == std::errc::illegal_byte_sequence);
    CHECK_THAT(error.what(), Catch::StartsWith("open: '/images/\\xff' is not UTF-8"));
    CHECK_FALSE(at.peer.receive().has_value());
}

TEST_CASE("channel: next_request drops replies that nobody waits for", "[unit][ipc]") {
    Fixture at;
    at.peer.send(R"({"version": 1, "id": 99, "result": {}})");
    at.peer.send(R"({"version": 2, "id": null, "error": {"code": "bad-version", "message": ""}})");
    at.peer.send(request_message("stats").text);
    CHECK(at.channel.next_request()->name == "stats");
    CHECK_FALSE(at.channel.next_request().has_value());
}

TEST_CASE("channel: after a bad message the connection goes on", "[unit][ipc]") {
    Fixture at;
    at.peer.send("junk");
    at.peer.send(request_message("stats").text);
    const auto error = error_of([&] { at.channel.next_request(); });
    at.channel.reply_bad_message(error);
    const Json reply = at.peer_received();
    CHECK(reply.at("id").is_null());
    CHECK(reply.at("error").at("code") == "bad-message");
    CHECK(reply.at("error").at("message") == error.what());
    CHECK(at.channel.next_request()->name == "stats");
}

TEST_CASE("channel: two versions that refuse each other do not answer for ever", "[unit][ipc]") {
    Fixture at;
    at.peer.send(R"({"version": 2, "id": 1, "request": "stats"})");
    const auto error = error_of([&] { at.channel.next_request(); });
    CHECK(error.code() == Errc::bad_version);
    at.channel.reply_bad_message(error);

    Channel other(std::move(at.peer));
    CHECK_FALSE(other.next_request().has_value());
    CHECK_FALSE(at.channel.next_request().has_value());
}

TEST_CASE("channel: an error reply survives text that is not UTF-8, and any length", "[unit][ipc]") {
    Fixture at;
    at.channel.reply_error(1, Errc::unknown_request, "request \"\xff\"");
    CHECK(at.peer_received().at("error").at("message") == "request \"\\xff\"");
    at.channel.reply_error(1, Errc::unknown_request, std::string(message_size_max_bytes, '\x01'));
    CHECK(at.peer_received().at("error").at("message").get<std::string>().size() == 4096);
}

TEST_CASE("channel: a result that quotes what is not UTF-8 is sent, and the bytes can still be told", "[unit][ipc]") {
    Fixture at;
    at.channel.reply(1, {{"files", {{{"path", "/images/\xff"}}}}, {"n\xff", 1}});
    const Json result = at.peer_received().at("result");
    CHECK(result.at("files").at(0).at("path") == "/images/\\xff");
    CHECK(result.at("n\\xff") == 1);
}

TEST_CASE("channel: a result that does not fit a message is an error, and nothing is sent", "[unit][ipc]") {
    Fixture at;
    const Json large{{"text", std::string(message_size_max_bytes, 'x')}};
    CHECK(error_of([&] { at.channel.reply(1, large); }).code() == std::errc::message_size);
    CHECK_FALSE(at.peer.receive().has_value());
}

TEST_CASE("channel: knows its descriptor and its peer", "[unit][ipc]") {
    Fixture at;
    CHECK(at.channel.fd() >= 0);
    CHECK(at.channel.peer_pid() == ::getpid());
}

}  // namespace blktap::ipc
