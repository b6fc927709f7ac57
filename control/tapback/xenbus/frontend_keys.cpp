// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/xenbus/frontend_keys.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <limits>

namespace blktap::tapback {
namespace {

constexpr unsigned shown_max = 64;  ///< characters of a guest's value in a message

[[noreturn]] void refuse(const std::string& name, const std::optional<std::string>& value, const std::string& reason) {
    const std::string found = value ? '"' + value->substr(0, shown_max) + '"' : "nothing";
    throw_error(Errc::bad_message, "the frontend's " + name + " holds " + found + ": " + reason);
}

std::uint32_t to_number(const std::string& name, const std::optional<std::string>& value, std::uint32_t minimum,
                        std::uint32_t maximum) {
    std::uint32_t number = 0;
    const char* const end = value ? value->data() + value->size() : nullptr;
    if (value) {
        const auto [rest, error] = std::from_chars(value->data(), end, number);
        if (error == std::errc{} && rest == end && number >= minimum && number <= maximum) return number;
    }
    refuse(name, value, "not a number from " + std::to_string(minimum) + " to " + std::to_string(maximum));
}

std::optional<std::uint32_t> find_number(const NodeReader& read, const std::string& name, std::uint32_t minimum,
                                         std::uint32_t maximum) {
    const auto value = read(name);
    if (!value) return std::nullopt;
    return to_number(name, value, minimum, maximum);
}

std::uint32_t require_number(const NodeReader& read, const std::string& name) {
    return to_number(name, read(name), 0, std::numeric_limits<std::uint32_t>::max());
}

/// Returns the number that a frontend requests in a node; at most the number that the backend's directory offers in
/// `offer`, or `least` if it has no such node.
std::optional<std::uint32_t> find_offered(const NodeReader& read, const NodeReader& offers, const std::string& name,
                                          std::uint32_t least, std::uint32_t most, const char* offer) {
    const auto wanted = find_number(read, name, least, most);
    if (!wanted || *wanted == least) return wanted;
    constexpr std::uint32_t any =
        std::numeric_limits<std::uint32_t>::max();  // written by another backend before the claim
    const std::uint32_t offered = std::min(find_number(offers, offer, 0, any).value_or(least), most);
    if (*wanted > offered)
        refuse(name, std::to_string(*wanted), "more than the " + std::to_string(offered) + " offered");
    return wanted;
}

/// Returns the pages of each ring; nullopt for the oldest dialect, whose single page has no number in its name.
std::optional<unsigned> read_ring_pages(const NodeReader& read, const NodeReader& offers) {
    constexpr unsigned order_max = std::countr_zero(ipc::ring_pages_max);
    if (const auto order = find_offered(read, offers, "ring-page-order", 0, order_max, "max-ring-page-order"))
        return 1u << *order;
    const auto pages = find_offered(read, offers, "num-ring-pages", 1, ipc::ring_pages_max, "max-ring-pages");
    if (pages && !std::has_single_bit(*pages)) refuse("num-ring-pages", std::to_string(*pages), "not a power of two");
    return pages;
}

ipc::QueueArguments read_queue(const NodeReader& read, const std::string& prefix, std::optional<unsigned> pages) {
    ipc::QueueArguments queue;
    // A single page may be numbered or not, whatever the frontend wrote about the order.
    const bool numbered = pages && (*pages > 1 || read(prefix + "ring-ref0"));
    if (numbered) {
        for (unsigned page = 0; page < *pages; ++page)
            queue.ring_refs.push_back(require_number(read, prefix + "ring-ref" + std::to_string(page)));
    } else {
        queue.ring_refs.push_back(require_number(read, prefix + "ring-ref"));
    }
    queue.event_channel = require_number(read, prefix + "event-channel");
    return queue;
}

std::string read_protocol(const NodeReader& read, const std::function<std::string()>& default_protocol) {
    const auto protocol = read("protocol");
    if (!protocol) return default_protocol();
    if (*protocol != "x86_64-abi" && *protocol != "x86_32-abi") refuse("protocol", protocol, "not a layout of x86");
    return *protocol;
}

}  // namespace

ipc::ConnectArguments read_frontend(const NodeReader& read, const NodeReader& offers,
                                    const std::function<std::string()>& default_protocol) {
    ipc::ConnectArguments frontend;
    frontend.protocol = read_protocol(read, default_protocol);
    frontend.persistent = read("feature-persistent") == "1";
    const unsigned queues =
        find_offered(read, offers, "multi-queue-num-queues", 1, ipc::queues_max, "multi-queue-max-queues").value_or(1);
    const auto pages = read_ring_pages(read, offers);
    for (unsigned queue = 0; queue < queues; ++queue) {
        const std::string prefix = queues == 1 ? "" : "queue-" + std::to_string(queue) + "/";
        frontend.queues.push_back(read_queue(read, prefix, pages));
    }
    return frontend;
}

}  // namespace blktap::tapback
