// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/xenbus/backend_nodes.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <sys/random.h>
#include <thread>

#include "libblktap/base/error.hpp"
#include "libblktap/base/units.hpp"

namespace blktap::tapback {
namespace {

constexpr unsigned info_read_only = 4;  // VDISK_READONLY

}  // namespace

void write_offers(const StoreNodes& nodes, const std::string& backend) {
    const unsigned queues = std::clamp(std::thread::hardware_concurrency(), 1u, ipc::queues_max);
    nodes.write_number(backend + "/max-ring-page-order", std::countr_zero(ipc::ring_pages_max));
    nodes.write_number(backend + "/max-ring-pages", ipc::ring_pages_max);
    nodes.write_number(backend + "/multi-queue-max-queues", queues);
    // The limit of the ring's requests; the image's own limit is not known yet and never smaller.
    nodes.write_number(backend + "/feature-max-indirect-segments", 256);
}

void write_features(const StoreNodes& nodes, const std::string& backend, const ipc::DeviceDescription& device) {
    const auto put = [&](const char* name, std::uint64_t value) { nodes.write_number(backend + '/' + name, value); };
    put("sectors", device.size_sectors);  // of 512 bytes whatever sector-size says
    put("sector-size", sector_size_bytes);
    put("physical-sector-size", device.physical_sector_size_bytes);
    put("info", device.read_only ? info_read_only : 0);
    put("feature-flush-cache", 1);
    put("feature-barrier", 1);
    put("feature-persistent", 1);
    put("feature-max-indirect-segments", device.indirect_segments_max);
    put("feature-discard", device.discard ? 1 : 0);
    if (!device.discard) return;
    put("discard-granularity", device.discard_granularity_bytes);
    put("discard-alignment", device.discard_alignment_bytes);
}

void write_state(const StoreNodes& nodes, const std::string& backend, Xenbus state) {
    nodes.write_number(backend + "/state", static_cast<unsigned>(state));
}

std::string new_life() {
    constexpr const char* digits = "0123456789abcdef";
    std::array<std::uint8_t, 16> bytes{};
    if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
        throw_system_error("getrandom");
    std::string text;
    for (const std::uint8_t byte : bytes) {
        text += digits[byte >> 4];
        text += digits[byte & 15];
    }
    return text;
}

std::string mark_directory(const StoreNodes& nodes, const std::string& backend) {
    const std::string path = backend + '/' + life_node;
    if (auto present = nodes.read(path); present && !present->empty()) return *std::move(present);
    std::string life = new_life();
    nodes.write(path, life);
    return life;
}

std::string write_claim(const XenStore& store, const ipc::VbdAddress& vbd) {
    const std::string directory = vbd.backend_path();
    const std::string owner = directory + '/' + owner_node;
    std::string life;
    store.transact([&](const StoreTransaction& nodes) {
        // In the same transaction: a claim written into a directory that was just removed would make it again.
        if (!nodes.read(directory + "/frontend"))
            throw_error(std::make_error_code(std::errc::no_such_file_or_directory), directory);
        const auto present = nodes.read(owner);
        if (present.value_or(owner_name) != owner_name)
            throw_error(std::make_error_code(std::errc::device_or_resource_busy),
                        directory + ": claimed by " + *present);
        if (!present) nodes.write(owner, owner_name);
        life = mark_directory(nodes, directory);
    });
    return life;
}

void close_when_asked(const XenStore& store, const ipc::VbdAddress& vbd) {
    const std::string directory = vbd.backend_path();
    store.transact([&](const StoreTransaction& nodes) {
        const bool asked = nodes.read(directory + "/state") == "5" && nodes.read(directory + "/frontend");
        if (asked) write_state(nodes, directory, Xenbus::closed);
    });
}

std::string frontend_path(const ipc::VbdAddress& vbd) {
    return "/local/domain/" + std::to_string(vbd.domain) + "/device/vbd/" + std::to_string(vbd.device);
}

void make_nodes(const XenStore& store, const ipc::VbdAddress& vbd, const std::string& life, bool read_only) {
    const std::string own_domain = store.read("domid").value_or("0");
    const auto own_number = static_cast<std::uint16_t>(std::stoul(own_domain));
    const std::string backend = "/local/domain/" + own_domain + '/' + vbd.backend_path();
    const std::string frontend = frontend_path(vbd);
    const std::string mode = read_only ? "r" : "w";
    store.transact([&](const StoreTransaction& nodes) {
        if (nodes.read(frontend + "/backend")) throw_error(std::make_error_code(std::errc::file_exists), frontend);
        for (const auto& [path, owner, reader] :
             {std::tuple{backend, own_number, vbd.domain}, std::tuple{frontend, vbd.domain, own_number}}) {
            nodes.remove(path);
            nodes.write(path, "");
            nodes.set_permissions(path, owner, reader);
        }
        const auto put_backend = [&](const char* name, const std::string& value) {
            nodes.write(backend + '/' + name, value);
        };
        put_backend("frontend", frontend);
        put_backend("frontend-id", std::to_string(vbd.domain));
        put_backend("online", "1");
        put_backend("removable", "0");
        put_backend("bootable", "0");
        put_backend("dev", ipc::device_name(vbd.device));
        put_backend("type", "vbd3");
        put_backend("mode", mode);
        put_backend("device-type", "disk");
        put_backend("discard-enable", read_only ? "0" : "1");
        put_backend(owner_node, owner_name);
        put_backend(life_node, life);
        put_backend("state", "1");
        nodes.write(frontend + "/backend", backend);
        nodes.write(frontend + "/backend-id", own_domain);
        nodes.write(frontend + "/virtual-device", std::to_string(vbd.device));
        nodes.write(frontend + "/device-type", "disk");
        nodes.write(frontend + "/state", "1");
    });
}

void remove_nodes(const XenStore& store, const ipc::VbdAddress& vbd, const std::string& life) {
    const std::string backend = vbd.backend_path();
    const std::string frontend = frontend_path(vbd);
    store.transact([&](const StoreTransaction& nodes) {
        const bool ours = nodes.read(backend + '/' + life_node) == life;
        // A frontend that was left behind without its backend names that backend.
        const bool left = !nodes.read(backend + "/frontend") &&
                          nodes.read(frontend + "/backend").value_or("").ends_with('/' + backend);
        if (ours || left) nodes.remove(frontend);
        if (ours) nodes.remove(backend);
    });
}

}  // namespace blktap::tapback
