// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/ipc/channel.hpp"
#include "tests/unit/ipc/socket_fixture.hpp"

namespace blktap::ipc {
namespace {

Parsed parse(const std::string& text) {
    return parse_message({text, {}});
}

std::string reason(const std::string& text, Errc expected = Errc::bad_message) {
    const auto error = error_of([&] { parse(text); });
    CHECK(error.code() == expected);
    return error.what();
}

/// `text` inside a request's arguments.
std::string as_arguments(const std::string& text) {
    return R"({"version": 1, "id": 1, "request": "x", "arguments": {"a": )" + text + "}}";
}

std::string nested(std::size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
}

}  // namespace

TEST_CASE("parse message: a request has an id, a name and arguments", "[unit][ipc]") {
    const Parsed parsed = parse(R"({"version": 1, "id": 7, "request": "connect", "arguments": {"domain": 3}})");
    REQUIRE(parsed.request.has_value());
    CHECK_FALSE(parsed.reply.has_value());
    CHECK(parsed.request->id == 7);
    CHECK(parsed.request->name == "connect");
    CHECK(parsed.request->arguments == Json{{"domain", 3}});
}

TEST_CASE("parse message: arguments may be absent", "[unit][ipc]") {
    CHECK(parse(R"({"version": 1, "id": 0, "request": "stats"})").request->arguments == Json::object());
}

TEST_CASE("parse message: a reply has a result or an error", "[unit][ipc]") {
    const Parsed result = parse(R"({"version": 1, "id": 18446744073709551615, "result": {"size-sectors": 8}})");
    REQUIRE(result.reply.has_value());
    CHECK_FALSE(result.request.has_value());
    CHECK(result.reply->id == 18446744073709551615u);
    CHECK(result.reply->result == Json{{"size-sectors", 8}});
    CHECK(result.reply->error_code.empty());

    const Parsed error = parse(R"({"version": 1, "id": 7, "error": {"code": "wrong-state", "message": "not now"}})");
    REQUIRE(error.reply.has_value());
    CHECK(error.reply->id == 7);
    CHECK(error.reply->error_code == "wrong-state");
    CHECK(error.reply->error_message == "not now");
}

TEST_CASE("parse message: descriptors go to the request or the reply", "[unit][ipc]") {
    for (const char* text :
         {R"({"version": 1, "id": 1, "request": "record"})", R"({"version": 1, "id": 1, "result": {}})"}) {
        Pipe pipe;
        Message message{text, {}};
        message.descriptors.push_back(std::move(pipe.writer));
        {
            const Parsed parsed = parse_message(std::move(message));
            CHECK((parsed.request ? parsed.request->descriptors : parsed.reply->descriptors).size() == 1);
            CHECK_FALSE(pipe.writers_closed());
        }
        CHECK(pipe.writers_closed());
    }
}

TEST_CASE("parse message: descriptors of a bad message are closed", "[unit][ipc]") {
    Pipe pipe;
    Message message{"junk", {}};
    message.descriptors.push_back(std::move(pipe.writer));
    CHECK(error_of([&] { parse_message(std::move(message)); }).code() == Errc::bad_message);
    message = {};
    CHECK(pipe.writers_closed());
}

TEST_CASE("parse message: what is not a JSON object is refused", "[unit][ipc]") {
    CHECK_THAT(reason(""), Catch::Contains("not JSON at byte"));
    CHECK_THAT(reason("{"), Catch::Contains("not JSON at byte"));
    CHECK_THAT(reason("{} {}"), Catch::Contains("not JSON at byte"));
    CHECK_THAT(reason("{\"version\": 1, \"id\": 1, \"request\": \"\xff\"}"), Catch::Contains("not JSON at byte"));
    CHECK_THAT(reason("[]"), Catch::Contains("message: not an object"));
    CHECK_THAT(reason("null"), Catch::Contains("message: not an object"));
    CHECK_THAT(reason(as_arguments("1e999")), Catch::Contains("a number is too large"));
}

TEST_CASE("parse message: another version is refused, with the one that we speak", "[unit][ipc]") {
    for (const char* version : {"0", "2", "1.0", "\"1\"", "null", "-1", "18446744073709551617"}) {
        INFO(version);
        const std::string text =
            std::string(R"({"version": )") + version + R"(, "id": 1, "request": "stats", "new": 1})";
        CHECK_THAT(reason(text, Errc::bad_version), Catch::Contains("this side speaks version 1"));
    }
    CHECK(reason(R"({"version": 2, "id": 1, "result": {}})", Errc::bad_version) != "");
    CHECK_THAT(reason(R"({"id": 1, "request": "stats"})"), Catch::Contains("message: version: missing"));
}

TEST_CASE("parse message: an error reply is read whatever its version", "[unit][ipc]") {
    const Parsed parsed =
        parse(R"({"version": 2, "id": null, "error": {"code": "bad-version", "message": "I speak 2", "hint": 1}})");
    CHECK(parsed.reply->id == 0);
    CHECK(parsed.reply->error_code == "bad-version");
    CHECK(parsed.reply->error_message == "I speak 2");
}

TEST_CASE("parse message: each wrong field of the envelope is named", "[unit][ipc]") {
    const auto says = [](const std::string& fields, const std::string& expected) {
        INFO(fields);
        CHECK_THAT(reason("{\"version\": 1, " + fields + "}"), Catch::StartsWith("message: " + expected));
    };
    says(R"("request": "stats")", "id: missing");
    says(R"("id": -1, "request": "stats")", "id: not a whole number");
    says(R"("id": 1.5, "request": "stats")", "id: not a whole number");
    says(R"("id": "1", "request": "stats")", "id: not a whole number");
    says(R"("id": null, "request": "stats")", "id: not a whole number");
    says(R"("id": 18446744073709551616, "request": "stats")", "id: not a whole number");
    says(R"("id": 1)", "request: missing");
    says(R"("id": 1, "request": 5)", "request: not a string");
    says(R"("id": 1, "request": "")", "request: empty");
    says(R"("id": 1, "request": "stats", "arguments": [])", "arguments: not an object");
    says(R"("id": 1, "request": "stats", "argument": {})", "unknown field \"argument\"");
    says(R"("id": null, "result": {})", "id: not a whole number");
    says(R"("id": 1, "result": 5)", "result: not an object");
    says(R"("id": 1, "result": {}, "request": "stats")", "unknown field \"request\"");
    says(R"("id": 1, "result": {}, "error": {"code": "x", "message": "y"})", "unknown field \"result\"");
    says(R"("id": 1, "error": "x")", "error: not an object");
    says(R"("id": 1, "error": {"message": "y"})", "error.code: missing");
    says(R"("id": 1, "error": {"code": "", "message": "y"})", "error.code: empty");
    says(R"("id": 1, "error": {"code": "x", "message": 5})", "error.message: not a string");
    says(R"("error": {"code": "x", "message": "y"})", "id: missing");
    says(R"("id": 1, "request": "x", ")" + std::string(60000, 'k') + R"(": 1)",
         "unknown field \"" + std::string(64, 'k') + "...\"");
}

TEST_CASE("parse message: nesting is limited, so that no message can exhaust the stack", "[unit][ipc]") {
    const std::size_t deepest = json_depth_max - 2;  // the message and its arguments are two
    CHECK(parse(as_arguments(nested(deepest))).request.has_value());
    CHECK_THAT(reason(as_arguments(nested(deepest + 1))), Catch::Contains("nested too deeply"));
    CHECK_THAT(reason(std::string(message_size_max_bytes, '[')), Catch::Contains("nested too deeply"));
    CHECK_THAT(reason(nested(message_size_max_bytes / 2)), Catch::Contains("nested too deeply"));
    std::string objects;
    while (objects.size() < message_size_max_bytes)
        objects += "{\"a\":";
    CHECK_THAT(reason(objects), Catch::Contains("nested too deeply"));
}

}  // namespace blktap::ipc
