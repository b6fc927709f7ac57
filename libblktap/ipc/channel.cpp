// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/ipc/channel.hpp"

#include <algorithm>

#include "libblktap/base/utf8.hpp"
#include "libblktap/ipc/fields.hpp"
#include "libblktap/ipc/json_text.hpp"

namespace blktap::ipc {
namespace {

constexpr std::size_t error_message_max_bytes = 4096;  // so that an error reply always fits a message
constexpr std::size_t requests_kept_max = 16;          // each may hold descriptors of ours
constexpr int replies_dropped_max = 16;                // in one call: other clients wait meanwhile

Json parse_json(const std::string& text) {
    const auto limit_depth = [](int depth, Json::parse_event_t event, Json&) {
        const bool opens = event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
        if (opens && depth >= json_depth_max) throw_error(Errc::bad_message, "message: nested too deeply");
        return true;
    };
    try {
        return Json::parse(text, limit_depth);
    } catch (const Json::parse_error& error) {
        throw_error(Errc::bad_message, "message: not JSON at byte " + std::to_string(error.byte));
    } catch (const Json::out_of_range&) {
        throw_error(Errc::bad_message, "message: a number is too large");
    }
}

void expect_version(const Json& version) {
    if (version.is_number_integer() && version == protocol_version) return;
    throw_error(Errc::bad_version, "message: this side speaks version " + std::to_string(protocol_version));
}

const Json& expect_object(const Fields& fields, const char* key, const Json& json) {
    if (!json.is_object()) fields.fail(key, "not an object");
    return json;
}

Request read_request(Fields& fields) {
    Request request;
    fields.read("id", request.id);
    fields.read("request", request.name);
    fields.expect_not_empty("request", request.name);
    if (const Json* arguments = fields.find("arguments")) {
        request.arguments = expect_object(fields, "arguments", *arguments);
    }
    fields.expect_no_others();
    return request;
}

Reply read_result(Fields& fields) {
    Reply reply;
    fields.read("id", reply.id);
    reply.result = expect_object(fields, "result", fields.require("result"));
    fields.expect_no_others();
    return reply;
}

Reply read_error(Fields& fields) {
    Reply reply;
    if (!fields.require("id").is_null()) fields.read("id", reply.id);
    Fields error = fields.require_object("error");
    error.read("code", reply.error_code);
    error.expect_not_empty("code", reply.error_code);
    error.read("message", reply.error_message);
    fields.expect_no_others();
    return reply;
}

Json envelope(const Json& id) {
    return {{"version", protocol_version}, {"id", id}};
}

Json object_or_empty(const Json& json) {
    return json.is_null() ? Json::object() : json;
}

std::string write_request(std::uint64_t id, const std::string& name, const Json& arguments) {
    Json json = envelope(id);
    json["request"] = name;
    json["arguments"] = object_or_empty(arguments);
    // Refused, because an escaped path would name another file.
    if (const auto invalid = find_invalid_text(json)) {
        throw_reason(std::make_error_code(std::errc::illegal_byte_sequence),
                     name + ": '" + escape_invalid_utf8(*invalid) + "' is not UTF-8, as a name in a message must be");
    }
    return json.dump();
}

std::string write_error(const Json& id, std::error_code code, const std::string& message) {
    Json json = envelope(id);
    json["error"] = {{"code", error_code_name(code)}, {"message", message.substr(0, error_message_max_bytes)}};
    return to_text(json);
}

}  // namespace

void throw_if_error(const Reply& reply) {
    if (reply.error_code.empty()) return;
    const std::error_code code = error_code_named(reply.error_code);
    // The message is the whole text of the exception on the other side.
    throw_reason(code, reply.error_message.empty() ? code.message() : reply.error_message);
}

Parsed parse_message(Message message) {
    const Json json = parse_json(message.text);
    Fields fields(json, "message");
    const Json& version = fields.require("version");
    Parsed parsed;
    if (json.contains("error")) {
        parsed.reply = read_error(fields);
    } else if (expect_version(version); json.contains("result")) {
        parsed.reply = read_result(fields);
    } else {
        parsed.request = read_request(fields);
    }
    auto& descriptors = parsed.request ? parsed.request->descriptors : parsed.reply->descriptors;
    descriptors = std::move(message.descriptors);
    return parsed;
}

Reply Channel::call(const std::string& name, const Json& arguments, const std::vector<int>& descriptors,
                    std::chrono::milliseconds timeout) {
    // "For ever" as milliseconds::max() would overflow the clock's nanoseconds.
    const auto deadline =
        std::chrono::steady_clock::now() + std::min<std::chrono::milliseconds>(timeout, std::chrono::hours(24));
    const std::uint64_t id = send_request(name, arguments, descriptors);
    while (socket_.wait_readable(deadline)) {
        auto message = socket_.receive();
        if (!message) continue;
        Parsed parsed = parse_message(std::move(*message));
        if (parsed.request) {
            keep(std::move(*parsed.request));
        } else if (parsed.reply->id == id || parsed.reply->id == 0) {
            return std::move(*parsed.reply);
        }
    }
    throw_error(std::make_error_code(std::errc::timed_out), name);
}

std::uint64_t Channel::send_request(const std::string& name, const Json& arguments,
                                    const std::vector<int>& descriptors) {
    const std::uint64_t id = ++last_id_;
    socket_.send(write_request(id, name, arguments), descriptors);
    return id;
}

std::optional<Parsed> Channel::next() {
    auto message = socket_.receive();
    if (!message) return std::nullopt;
    return parse_message(std::move(*message));
}

void Channel::keep(Request request) {
    if (requests_.size() >= requests_kept_max)
        throw_error(Errc::bad_message, "too many requests during a request of ours");
    requests_.push_back(std::move(request));
}

std::optional<Request> Channel::next_request() {
    if (!requests_.empty()) {
        Request request = std::move(requests_.front());
        requests_.pop_front();
        return request;
    }
    for (int dropped = 0; dropped < replies_dropped_max; ++dropped) {
        auto parsed = next();
        if (!parsed) return std::nullopt;
        if (parsed->request) return std::move(parsed->request);
    }
    return std::nullopt;
}

void Channel::reply(std::uint64_t id, const Json& result, const std::vector<int>& descriptors) {
    Json json = envelope(id);
    json["result"] = object_or_empty(result);
    socket_.send(to_text(json), descriptors);
}

void Channel::reply_error(std::uint64_t id, std::error_code code, const std::string& message) {
    socket_.send(write_error(id, code, message));
}

void Channel::reply_bad_message(const std::system_error& error) {
    socket_.send(write_error(nullptr, error.code(), error.what()));
}

}  // namespace blktap::ipc
