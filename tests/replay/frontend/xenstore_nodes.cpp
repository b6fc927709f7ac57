// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/replay/frontend/xenstore_nodes.hpp"

#include <bit>
#include <charconv>
#include <optional>

#include "libblktap/base/units.hpp"
#include "tests/replay/failure.hpp"

namespace blktap::replay {
namespace {

constexpr unsigned info_read_only = 4;  // VDISK_READONLY

std::optional<std::uint64_t> read_number(const StoreNodes& store, const std::string& path) {
    const auto text = store.read(path);
    std::uint64_t number = 0;
    if (!text || text->empty()) return std::nullopt;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
    if (error != std::errc{} || end != text->data() + text->size()) return std::nullopt;
    return number;
}

template <class Number>
Number read_number_or(const StoreNodes& store, const std::string& path, Number otherwise) {
    const auto number = read_number(store, path);
    return number && std::in_range<Number>(*number) ? static_cast<Number>(*number) : otherwise;
}

/// Nodes of a guest's own directory, which a toolstack wrote.
std::uint64_t require_number(const StoreNodes& store, const std::string& path) {
    if (const auto number = read_number(store, path)) return *number;
    throw std::runtime_error(path + ": no such node, or no number: not a disk's frontend");
}

/// Nodes that a backend owes.
std::uint64_t demand_number(const StoreNodes& store, const std::string& path) {
    if (const auto number = read_number(store, path)) return *number;
    throw Failure("the backend is connected, and has no number in " + path);
}

std::string_view abi_name(std::string_view protocol) noexcept {
    if (protocol != "native") return protocol;
#if defined(__arm__) || defined(__aarch64__)
    return "arm-abi";
#else
    return "x86_64-abi";
#endif
}

/// What the last driver of this guest left (firmware, another kernel) and this one will not write over.
void remove_rings(const StoreNodes& store, const std::string& frontend) {
    for (const std::string& name : store.list(frontend)) {
        const bool of_ring = name.starts_with("ring-") || name.starts_with("queue-");
        if (of_ring || name == "multi-queue-num-queues" || name == "event-channel" || name == "protocol")
            store.remove(frontend + '/' + name);
    }
}

void write_queue(const StoreNodes& store, const std::string& directory, const ipc::QueueArguments& queue) {
    if (queue.ring_refs.size() == 1) {
        store.write_number(directory + "ring-ref", queue.ring_refs.front());
    } else {
        for (std::size_t page = 0; page < queue.ring_refs.size(); ++page)
            store.write_number(directory + "ring-ref" + std::to_string(page), queue.ring_refs[page]);
    }
    store.write_number(directory + "event-channel", queue.event_channel);
}

}  // namespace

XenbusState read_state(const StoreNodes& store, const std::string& directory) {
    const auto number = read_number_or<unsigned>(store, directory + "/state", 0);
    return number <= static_cast<unsigned>(XenbusState::closed) ? static_cast<XenbusState>(number) : XenbusState::none;
}

BackendPlace read_backend_place(const StoreNodes& store, const std::string& frontend) {
    BackendPlace place;
    place.path = store.read(frontend + "/backend").value_or("");
    if (place.path.empty()) throw std::runtime_error(frontend + "/backend: no such node: not a disk's frontend");
    const std::uint64_t domain = require_number(store, frontend + "/backend-id");
    if (domain > ipc::domain_max) throw std::runtime_error(frontend + "/backend-id: there is no such domain");
    place.domain = static_cast<std::uint16_t>(domain);
    require_number(store, frontend + "/virtual-device");
    return place;
}

BackendOffers read_offers(const StoreNodes& store, const std::string& backend) {
    BackendOffers offers;
    offers.queues_max = read_number_or(store, backend + "/multi-queue-max-queues", offers.queues_max);
    offers.ring_order_max = read_number_or(store, backend + "/max-ring-page-order", offers.ring_order_max);
    return offers;
}

void write_rings(const StoreNodes& store, const std::string& frontend, const ipc::ConnectArguments& rings,
                 const OddNodes& odd) {
    const std::string top = frontend + '/';
    remove_rings(store, frontend);
    const std::size_t pages = rings.queues.front().ring_refs.size();
    if (pages > 1) store.write_number(top + "ring-page-order", static_cast<unsigned>(std::bit_width(pages) - 1));
    if (rings.queues.size() == 1) {
        write_queue(store, top, rings.queues.front());
    } else {
        store.write_number(top + "multi-queue-num-queues", rings.queues.size());
        for (std::size_t queue = 0; queue < rings.queues.size(); ++queue)
            write_queue(store, top + "queue-" + std::to_string(queue) + '/', rings.queues[queue]);
    }
    if (!odd.omit_protocol) store.write(top + "protocol", std::string(abi_name(rings.protocol)));
    store.write(top + "feature-persistent", rings.persistent ? "1" : "0");
    for (const auto& [name, value] : odd.nodes)
        store.write(top + name, value);
}

ipc::DeviceDescription read_device(const StoreNodes& store, const std::string& backend) {
    const std::string top = backend + '/';
    ipc::DeviceDescription device;
    device.size_sectors = demand_number(store, top + "sectors");
    const std::uint64_t sector_size = demand_number(store, top + "sector-size");
    if (sector_size != sector_size_bytes)
        throw Failure("the backend has sectors of " + std::to_string(sector_size) + " bytes, not of 512");
    device.read_only = (demand_number(store, top + "info") & info_read_only) != 0;
    device.physical_sector_size_bytes =
        read_number_or(store, top + "physical-sector-size", device.physical_sector_size_bytes);
    device.discard = read_number_or(store, top + "feature-discard", 0u) == 1;
    device.discard_granularity_bytes = read_number_or(store, top + "discard-granularity", 0u);
    device.discard_alignment_bytes = read_number_or(store, top + "discard-alignment", 0u);
    device.indirect_segments_max = read_number_or(store, top + "feature-max-indirect-segments", 0u);
    return device;
}

}  // namespace blktap::replay
