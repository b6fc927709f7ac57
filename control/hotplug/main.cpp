// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// block-tapdisk: the program that xl runs for a disk with script=block-tapdisk, and that the wrapper of
// "tap-ctl takeover" calls. See block-tapdisk(8).
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "control/client/tapback_client.hpp"
#include "control/hotplug/blkback.hpp"
#include "control/hotplug/hotplug.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::hotplug {
namespace {

constexpr int no = 1;  // add: failed; owns, takes: no
constexpr int wrong_usage = 2;
constexpr const char* usage = "usage: XENBUS_PATH=backend/vbd/DOMAIN/DEVICE block-tapdisk add|remove|owns|takes";

/// The disk's backend directory as libxl names it; nullopt: not one.
std::optional<ipc::VbdAddress> read_environment() {
    const char* path = std::getenv("XENBUS_PATH");
    const auto node = ipc::parse_backend_path(path == nullptr ? "" : path);
    if (!node || !node->below.empty()) return std::nullopt;
    return node->vbd;
}

int add(const Hotplug& hotplug, const ipc::VbdAddress& vbd) {
    try {
        hotplug.add(vbd);
        log::info("added", {{"vbd", vbd.name()}, {"backend", vbd.backend_path()}});
        return 0;
    } catch (const std::exception& error) {
        std::cerr << "block-tapdisk: disk " << vbd.name() << ": " << error.what() << '\n';
        log::error("add.failed", {{"vbd", vbd.name()}, {"error", error.what()}});
        hotplug.report_failure(vbd, error.what());
        return no;
    }
}

/// libxl ignores the exit status of "remove", so errors are only logged.
int remove(const Hotplug& hotplug, const ipc::VbdAddress& vbd) {
    try {
        hotplug.remove(vbd);
        log::info("removed", {{"vbd", vbd.name()}});
    } catch (const std::exception& error) {
        std::cerr << "block-tapdisk: disk " << vbd.name() << ": " << error.what() << '\n';
        log::warning("remove.failed", {{"vbd", vbd.name()}, {"error", error.what()}});
    }
    return 0;
}

int takes(const Hotplug& hotplug, const ipc::VbdAddress& vbd) {
    const auto reason = reason_to_leave(hotplug.describe(vbd));
    if (!reason) return 0;
    std::cerr << "block-tapdisk: disk " << vbd.name() << " stays with the kernel's backend: " << *reason << '\n';
    log::info("left", {{"vbd", vbd.name()}, {"reason", *reason}});
    return no;
}

int run(std::string_view command) {
    const auto vbd = read_environment();
    if (!vbd || (command != "add" && command != "remove" && command != "owns" && command != "takes")) {
        std::cerr << usage << '\n';
        return wrong_usage;
    }
    log::configure("block-tapdisk", log::Level::info, log::Sink::syslog);
    const XenStore store;
    const Hotplug hotplug(store, {default_tapback_socket(), default_sysfs()});
    if (command == "add") return add(hotplug, *vbd);
    if (command == "remove") return remove(hotplug, *vbd);
    if (command == "takes") return takes(hotplug, *vbd);
    return hotplug.is_ours(*vbd) ? 0 : no;
}

}  // namespace
}  // namespace blktap::hotplug

int main(int argument_count, char** arguments) {
    try {
        return blktap::hotplug::run(argument_count == 2 ? arguments[1] : "");
    } catch (const std::exception& error) {
        std::cerr << "block-tapdisk: " << error.what() << '\n';
        return blktap::hotplug::no;
    }
}
