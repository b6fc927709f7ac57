// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/hotplug/hotplug.hpp"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>

#include "control/client/image_target.hpp"
#include "control/client/tapback_client.hpp"
#include "control/hotplug/blkback.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/log.hpp"
#include "libblktap/base/unique_fd.hpp"

namespace blktap::hotplug {
namespace {

using Milliseconds = std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr Milliseconds answer_time{5000};  // for requests that do not wait for a disk
constexpr Milliseconds detach_time{30000};
constexpr std::size_t reason_max_bytes = 1000;  // a node of xenstore holds 4 KiB, and its readers want a line

/// Returns the time until `deadline`, but at least a moment, so that a late call still fails with a timeout.
Milliseconds left_until(Clock::time_point deadline) {
    return std::max(Milliseconds(1), std::chrono::duration_cast<Milliseconds>(deadline - Clock::now()));
}

bool is_regular_file(const std::string& path) {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

/// The image that a disk's directory names, and whether it is writable.
struct Target {
    std::optional<std::string> params{};
    std::optional<std::string> mode{};

    friend bool operator==(const Target&, const Target&) = default;
};

Target read_target(const StoreTransaction& nodes, const std::string& directory) {
    return {nodes.read(directory + "/params"), nodes.read(directory + "/mode")};
}

[[noreturn]] void fail_removed(const std::string& directory) {
    throw_reason(std::make_error_code(std::errc::no_such_file_or_directory),
                 directory + ": the disk was removed while it was being added");
}

}  // namespace

void Hotplug::add(const ipc::VbdAddress& vbd) const {
    const auto deadline = Clock::now() + places_.time_limit;
    const std::string directory = vbd.backend_path();
    Target target;
    store_.transact([&](const StoreTransaction& nodes) { target = read_target(nodes, directory); });
    if (!target.params) throw_error(std::make_error_code(std::errc::no_such_file_or_directory), directory + "/params");
    const auto image = image_of_params(*target.params, target.mode.value_or("r"));

    TapbackClient tapback(places_.tapback_socket);
    const ipc::BackendArguments backend{vbd};
    const std::string life = tapback.call(ipc::Claim{backend}, left_until(deadline)).life;
    // With another target, or another life, it is another disk by now. An earlier tapback writes no mark.
    const auto same = [&](const StoreTransaction& nodes) {
        return read_target(nodes, directory) == target &&
               (life.empty() || nodes.read(directory + "/tapdisk/life") == life);
    };
    bool is_same = false;
    store_.transact([&](const StoreTransaction& nodes) { is_same = same(nodes); });
    if (!is_same) fail_removed(directory);
    if (vbd.kind == ipc::VbdAddress::Kind::vbd) {
        try {
            unbind_from_blkback(places_.sysfs, vbd);
        } catch (const std::system_error&) {
            // blkback still serves the device: with two backends neither could close it.
            tapback.call(ipc::Detach{backend}, left_until(deadline));
            throw;
        }
    }
    tapback.call_for_json(ipc::Attach{vbd, image, life}, left_until(deadline));
    if (!write_if_present(vbd, "connected", std::nullopt, same)) fail_removed(directory);
}

void Hotplug::report_failure(const ipc::VbdAddress& vbd, const std::string& reason) const {
    write_if_present(vbd, "error", reason.substr(0, reason_max_bytes));
}

void Hotplug::remove(const ipc::VbdAddress& vbd) const {
    TapbackClient(places_.tapback_socket).call(ipc::Detach{{vbd}}, detach_time);
}

bool Hotplug::is_ours(const ipc::VbdAddress& vbd) const {
    try {
        TapbackClient tapback(places_.tapback_socket);
        return tapback.call(ipc::Owner{{vbd}}, answer_time).owned;
    } catch (const std::system_error& error) {
        log::warning("owner.unknown", {{"vbd", vbd.name()}, {"error", error.what()}});
        return store_.read(vbd.backend_path() + "/tapdisk/owner").has_value();
    }
}

PlainDisk Hotplug::describe(const ipc::VbdAddress& vbd) const {
    const std::string domain = std::to_string(vbd.domain);
    PlainDisk disk;
    store_.transact([&](const StoreTransaction& nodes) {
        disk.params = nodes.read(vbd.backend_path() + "/params").value_or("");
        disk.guest_type = nodes.read("/libxl/" + domain + "/type");
        disk.device_model = nodes.read("/local/domain/" + domain + "/target").has_value();
    });
    disk.kernel_kind = vbd.kind == ipc::VbdAddress::Kind::vbd;
    disk.regular_file = is_regular_file(disk.params);
    // Opened for a moment and not read: only an attempt shows whether the file system supports O_DIRECT.
    disk.direct_io = disk.regular_file && UniqueFd(::open(disk.params.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
    disk.domain = vbd.domain;
    return disk;
}

/// Writes only if the directory exists: a write makes missing directories, so one that libxl has removed would come
/// back for ever.
bool Hotplug::write_if_present(const ipc::VbdAddress& vbd, const char* status, const std::optional<std::string>& reason,
                               const Check& check) const {
    const std::string directory = vbd.backend_path();
    bool present = false;
    store_.transact([&](const StoreTransaction& transaction) {
        present = transaction.read(directory + "/frontend") && check(transaction);
        if (!present) return;
        const std::string error = directory + "/hotplug-error";
        if (reason) transaction.write(error, *reason);
        if (!reason && transaction.read(error)) transaction.remove(error);  // of an earlier attempt
        transaction.write(directory + "/hotplug-status", status);
    });
    return present;
}

}  // namespace blktap::hotplug
