// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Fuzzes the control protocol's parsers: the bytes are one message. Only std::system_error may come out of them, what
// is accepted lies within the limits, and what is written again reads the same.
#include <cstddef>
#include <cstdint>

#include "libblktap/base/assert.hpp"
#include "libblktap/ipc/messages.hpp"

namespace blktap::ipc {
namespace {

/// Reads the arguments as T, if they are; then text made of them must read the same.
template <class T>
T parse_and_return(const Json& arguments) {
    const T value = arguments.get<T>();
    BLKTAP_ASSERT(Json::parse(Json(value).dump()).template get<T>() == value);
    return value;
}

void check_limits(const ConnectArguments& value) {
    BLKTAP_ASSERT(value.domain <= domain_max);
    BLKTAP_ASSERT(!value.queues.empty() && value.queues.size() <= queues_max);
    for (const QueueArguments& queue : value.queues) {
        BLKTAP_ASSERT(!queue.ring_refs.empty() && queue.ring_refs.size() <= ring_pages_max);
        BLKTAP_ASSERT(queue.ring_refs.size() == value.queues.front().ring_refs.size());
    }
}

void check_request(const Request& request) {
    const Json& arguments = request.arguments;
    if (request.name == Open::name) {
        const auto value = parse_and_return<OpenArguments>(arguments);
        BLKTAP_ASSERT(!value.format.empty() && !value.path.empty());
    } else if (request.name == Connect::name) {
        check_limits(parse_and_return<ConnectArguments>(arguments));
    } else if (request.name == Resume::name) {
        parse_and_return<Resume>(arguments);
    } else if (request.name == Record::name) {
        parse_and_return<Record>(arguments);
    } else if (request.name == OpenFile::name) {
        parse_and_return<OpenFileArguments>(arguments);
    } else {
        parse_and_return<Stats>(arguments);
        parse_and_return<About>(arguments);
        BLKTAP_ASSERT(arguments.empty());
    }
}

void check_reply(const Reply& reply) {
    BLKTAP_ASSERT(reply.result.is_object());
    throw_if_error(reply);
    parse_and_return<DeviceDescription>(reply.result);
}

}  // namespace
}  // namespace blktap::ipc

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace blktap::ipc;
    if (size > message_size_max_bytes) return 0;  // never leaves MessageSocket::receive()
    try {
        const Parsed parsed = parse_message({std::string(data, data + size), {}});
        BLKTAP_ASSERT(parsed.request.has_value() != parsed.reply.has_value());
        if (parsed.request) check_request(*parsed.request);
        if (parsed.reply) check_reply(*parsed.reply);
    } catch (const std::system_error&) {
    }
    return 0;
}
