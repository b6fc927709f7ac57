// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/control/host/toolstack.hpp"

#include <algorithm>

#include "libblktap/ipc/vbd_address.hpp"

namespace blktap::control_test {
namespace {

using namespace std::chrono_literals;
using Nodes = std::vector<std::pair<std::string, std::string>>;

constexpr Nanoseconds offers_limit = 10s;  // LIBXL_INIT_TIMEOUT
constexpr Nanoseconds script_limit = 40s;  // LIBXL_HOTPLUG_TIMEOUT

void make_directory(const StoreNodes& store, const std::string& path, std::uint16_t owner, std::uint16_t reader,
                    const Nodes& nodes) {
    store.remove(path);
    store.write(path, "");
    store.set_permissions(path, owner, reader);
    for (const auto& [name, value] : nodes)
        store.write(path + '/' + name, value);
}

std::string domain_directory(std::uint16_t domain) {
    return "/local/domain/" + std::to_string(domain);
}

bool same(const Disk& one, const Disk& other) {
    return one.domain == other.domain && one.device == other.device;
}

}  // namespace

std::string Toolstack::backend(const Disk& disk) const {
    return "/local/domain/0/backend/" + kind() + '/' + std::to_string(disk.domain) + '/' + std::to_string(disk.device);
}

std::string Toolstack::frontend(const Disk& disk) {
    return domain_directory(disk.domain) + "/device/vbd/" + std::to_string(disk.device);
}

std::string Toolstack::libxl(const Disk& disk) const {
    return "/libxl/" + std::to_string(disk.domain) + "/device/vbd/" + std::to_string(disk.device);
}

std::string Toolstack::backend_node(const Disk& disk, const std::string& name) const {
    return store().read(backend(disk) + '/' + name).value_or("none");
}

std::string Toolstack::frontend_node(const Disk& disk, const std::string& name) const {
    return store().read(frontend(disk) + '/' + name).value_or("none");
}

bool Toolstack::wait_for_backend_state(const Disk& disk, const std::string& state, Nanoseconds limit) const {
    return testing::wait_until([&] { return backend_node(disk, "state") == state; }, limit);
}

bool Toolstack::wait_until_connected(const Disk& disk) const {
    return testing::wait_until(
        [&] { return backend_node(disk, "state") == "4" && frontend_node(disk, "state") == "4"; }, 10s);
}

void Toolstack::create_domain(std::uint16_t domain) {
    const std::string directory = domain_directory(domain);
    store().transact([&](const StoreTransaction& transaction) {
        make_directory(transaction, directory, 0, domain, {{"domid", std::to_string(domain)}, {"name", "guest"}});
        make_directory(transaction, directory + "/device", domain, domain, {});
        make_directory(transaction, "/libxl/" + std::to_string(domain), 0, 0, {{"type", "pvh"}});
    });
    host_.introduce(domain);
}

void Toolstack::destroy_domain(std::uint16_t domain) {
    const std::vector<Disk> disks = disks_;
    for (const Disk& disk : disks)
        if (disk.domain == domain) detach_by_force(disk);
    before_step("remove the domain's nodes");
    store().remove(domain_directory(domain));
    store().remove("/libxl/" + std::to_string(domain));
    store().remove("backend/" + kind() + '/' + std::to_string(domain));
    before_step("destroy the domain");
    host_.release(domain);
}

Toolstack::Outcome Toolstack::attach(const Disk& disk) {
    before_step("write the nodes");
    write_nodes(disk);
    before_step("wait for InitWait");
    if (const Outcome outcome = wait_for_offers(disk); !outcome.okay()) return outcome;
    before_step("run the script");
    return run_script(disk, "add");
}

void Toolstack::write_nodes(const Disk& disk) {
    const std::string mode = disk.read_only ? "r" : "w";
    const Nodes back{
        {"frontend", frontend(disk)},
        {"params", version_ == Xl::v4_17 ? disk.target : "aio:" + disk.target},
        {"script", "/etc/xen/scripts/" + script.substr(script.rfind('/') + 1)},
        {"frontend-id", std::to_string(disk.domain)},
        {"online", "1"},
        {"removable", "0"},
        {"bootable", "1"},
        {"state", "1"},
        {"dev", ipc::device_name(disk.device)},
        {"type", version_ == Xl::v4_17 ? "phy" : "vbd3"},
        {"mode", mode},
        {"device-type", "disk"},
        {"discard-enable", disk.discard && !disk.read_only ? "1" : "0"},
        {"specification", "xen"},
    };
    const Nodes front{
        {"backend", backend(disk)},
        {"backend-id", "0"},
        {"state", "1"},
        {"virtual-device", std::to_string(disk.device)},
        {"device-type", "disk"},
        {"trusted", "1"},
    };
    store().transact([&](const StoreTransaction& transaction) {
        make_directory(transaction, libxl(disk), 0, 0, back);
        transaction.write(libxl(disk) + "/frontend", frontend(disk));
        transaction.write(libxl(disk) + "/backend", backend(disk));
        make_directory(transaction, frontend(disk), disk.domain, 0, front);
        make_directory(transaction, backend(disk), 0, disk.domain, back);
    });
    std::erase_if(disks_, [&](const Disk& other) { return same(disk, other); });
    disks_.push_back(disk);
    if (version_ == Xl::v4_17) offer_as_blkback(disk);
}

/// What the kernel's driver does with every new device in backend/vbd.
void Toolstack::offer_as_blkback(const Disk& disk) {
    host_.take_unbound();
    store().write(backend(disk) + "/feature-max-indirect-segments", "256");
    store().write(backend(disk) + "/multi-queue-max-queues", "2");
    store().write(backend(disk) + "/max-ring-page-order", "4");
    store().write(backend(disk) + "/state", "2");
}

Toolstack::Outcome Toolstack::wait_for_offers(const Disk& disk) const {
    if (wait_for_backend_state(disk, "2", offers_limit)) return {};
    return {"unable to add device with path " + backend(disk) + ": state " + backend_node(disk, "state")};
}

Toolstack::Outcome Toolstack::run_script(const Disk& disk, const std::string& command) const {
    std::vector<std::string> environment = host_.environment(0);
    environment.insert(environment.end(), script_environment.begin(), script_environment.end());
    environment.push_back("script=" + script);
    environment.push_back("XENBUS_TYPE=" + kind());
    environment.push_back("XENBUS_PATH=backend/" + kind() + '/' + std::to_string(disk.domain) + '/' +
                          std::to_string(disk.device));
    environment.push_back("XENBUS_BASE_PATH=backend");
    const int status =
        testing::run({script, command}, {.environment = environment, .output = host_.path("scripts")}, script_limit);
    if (status == 0) return {};
    const auto reason = store().read(backend(disk) + "/hotplug-error");
    return {reason.value_or("the script ended with " + std::to_string(status) + " and left no hotplug-error")};
}

void Toolstack::ask_to_close(const Disk& disk, bool force) const {
    store().transact([&](const StoreTransaction& transaction) {
        const auto state = transaction.read(backend(disk) + "/state");
        if (!state) return;
        transaction.write(backend(disk) + "/online", "0");
        if (*state != "6") transaction.write(backend(disk) + "/state", "5");
        if (force) transaction.remove(frontend(disk));
    });
    close_as_blkback(disk);
}

/// A device of backend/vbd that the script never took from the kernel's driver is closed by that.
void Toolstack::close_as_blkback(const Disk& disk) const {
    const bool ours = store().read(backend(disk) + "/tapdisk/owner").has_value();
    if (version_ == Xl::v4_17 && !ours && backend_node(disk, "state") == "5")
        store().write(backend(disk) + "/state", "6");
}

Toolstack::Outcome Toolstack::detach(const Disk& disk, Nanoseconds limit) {
    if (backend_node(disk, "state") == "none") {  // removed already: only the rest is cleaned up
        remove_nodes(disk);
        return {};
    }
    before_step("ask to close");
    ask_to_close(disk, false);
    before_step("wait for Closed");
    if (!wait_for_backend_state(disk, "6", limit))
        return {"unable to remove device with path " + backend(disk) + ": state " + backend_node(disk, "state")};
    before_step("run the script to remove");
    run_script(disk, "remove");
    before_step("remove the nodes");
    remove_nodes(disk);
    return {};
}

Toolstack::Outcome Toolstack::detach_by_force(const Disk& disk, Nanoseconds limit) {
    Outcome outcome;
    if (backend_node(disk, "state") == "none") {
        remove_nodes(disk);
        return outcome;
    }
    before_step("ask to close by force");
    ask_to_close(disk, true);
    before_step("wait for Closed by force");
    if (wait_for_backend_state(disk, "6", limit)) {
        before_step("run the script to remove by force");
        run_script(disk, "remove");
    } else {
        outcome.error = "the backend did not close: state " + backend_node(disk, "state");  // and no script runs
    }
    before_step("remove the nodes by force");
    remove_nodes(disk);
    return outcome;
}

/// libxl removes a directory and then its parents, as far up as they are empty.
void Toolstack::remove_nodes(const Disk& disk) {
    store().transact([&](const StoreTransaction& transaction) {
        transaction.remove(frontend(disk));
        transaction.remove(libxl(disk));
        transaction.remove(backend(disk));
        const std::string of_domain = "backend/" + kind() + '/' + std::to_string(disk.domain);
        if (transaction.list(of_domain).empty()) transaction.remove(of_domain);
    });
    std::erase_if(disks_, [&](const Disk& other) { return same(disk, other); });
}

}  // namespace blktap::control_test
