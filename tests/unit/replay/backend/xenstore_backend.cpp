// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/unit/replay/backend/xenstore_backend.hpp"

#include <poll.h>

namespace blktap::replay {
namespace {

std::string node_of(const XenStore& store, const std::string& name) {
    return store.read(std::string(XenstoreBackend::frontend) + '/' + name).value_or("");
}

std::uint32_t number_of(const XenStore& store, const std::string& name) {
    return static_cast<std::uint32_t>(std::stoul(node_of(store, name)));
}

}  // namespace

XenstoreBackend::XenstoreBackend(MemoryBackend& disk) : disk_(disk) {
    const std::string front = frontend;
    toolstack.write(front + "/backend", backend);
    toolstack.write(front + "/backend-id", "0");
    toolstack.write(front + "/virtual-device", "51712");
    toolstack.write(front + "/state", "1");
    toolstack.write(path("state"), "1");
}

void XenstoreBackend::start() {
    thread_ = std::thread([this] { serve(); });
}

void XenstoreBackend::stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
}

void XenstoreBackend::serve() {
    const XenStore store;
    store.watch(std::string(frontend) + "/state", "state");
    if (makes_offers) {
        store.write(path("multi-queue-max-queues"), "4");
        store.write_number(path("max-ring-page-order"), ring_order_max);
        set_state(store, "2");
    }
    std::string last;
    while (!stopping_) {
        pollfd events{store.fd(), POLLIN, 0};
        ::poll(&events, 1, 20);
        while (store.next_event()) {
        }
        const std::string state = node_of(store, "state");
        if (state == last) continue;
        last = state;
        follow(store, state);
    }
    disk_.disconnect();
}

void XenstoreBackend::follow(const XenStore& store, const std::string& state) {
    const std::string own = store.read(path("state")).value_or("");
    if (state == "1" && own == "6") set_state(store, "2");
    if ((state == "3" || state == "4") && !connected_) {
        if (refuses) set_state(store, "5");
        connected_in = state;
        if (connects) connect(store);
    }
    if (state == "5") set_state(store, "5");
    if (state == "6") {
        disk_.disconnect();
        connected_ = false;
        set_state(store, "6");
    }
}

void XenstoreBackend::connect(const XenStore& store) {
    disk_.connect(read_rings(store), {});
    connected_ = true;
    const std::vector<std::pair<std::string, std::string>> nodes{
        {"sectors", std::to_string(disk_.disk.size() / sector_size_bytes)},
        {"sector-size", sector_size},
        {"physical-sector-size", "4096"},
        {"info", disk_.rules.read_only ? "4" : "0"},
        {"feature-discard", "1"},
        {"discard-granularity", "4096"},
        {"feature-max-indirect-segments", "256"},
    };
    for (const auto& [name, value] : nodes)
        if (withheld.count(name) == 0) store.write(path(name), value);
    set_state(store, "4");
}

ipc::ConnectArguments XenstoreBackend::read_rings(const XenStore& store) const {
    ipc::ConnectArguments rings;
    rings.domain = MemoryBackend::guest;
    const std::string protocol = node_of(store, "protocol");
    rings.protocol = protocol.empty() ? "x86_32-abi" : protocol;
    rings.persistent = node_of(store, "feature-persistent") == "1";
    const std::string order = node_of(store, "ring-page-order");
    const std::string queues = node_of(store, "multi-queue-num-queues");
    for (unsigned queue = 0; queue < (queues.empty() ? 1u : std::stoul(queues)); ++queue) {
        const std::string top = queues.empty() ? "" : "queue-" + std::to_string(queue) + '/';
        ipc::QueueArguments& arguments = rings.queues.emplace_back();
        if (order.empty()) {
            arguments.ring_refs.push_back(number_of(store, top + "ring-ref"));
        } else {
            for (unsigned page = 0; page < 1u << std::stoul(order); ++page)
                arguments.ring_refs.push_back(number_of(store, top + "ring-ref" + std::to_string(page)));
        }
        arguments.event_channel = number_of(store, top + "event-channel");
    }
    return rings;
}

}  // namespace blktap::replay
