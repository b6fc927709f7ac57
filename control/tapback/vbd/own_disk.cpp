// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vbd/own_disk.hpp"

#include "control/tapback/session/tapdisk_process.hpp"
#include "control/tapback/xenbus/backend_nodes.hpp"

namespace blktap::tapback {

bool OwnDisk::is_own() const {
    const XenStore* const store = places_.store.store();
    return store != nullptr && store->read("domid").value_or("0") == std::to_string(disk_.domain);
}

bool OwnDisk::is_left_to_kernel() const {
    if (!is_own() || places_.store.require().read(frontend_path(disk_) + "/state")) return false;
    return OwnDevice(places_.devices, disk_.device).present();
}

void OwnDisk::check_use(const char* request, std::function<void()> go_on, const Done& done) {
    if (use_check_ && use_check_->running())
        throw_error(Errc::wrong_state, disk_.name() + ": being taken away already");
    const std::string name = disk_.name() + " (" + ipc::device_name(disk_.device) + ')';
    const auto judge = [=, go_on = std::move(go_on)](const std::optional<std::string>& use) {
        if (!use) {
            done(error_reply(std::make_error_code(std::errc::timed_out),
                             std::string(request) + ": " + name + ": whether it is in use does not become known"));
        } else if (!use->empty()) {
            done(error_reply(std::make_error_code(std::errc::device_or_resource_busy), name + ": " + *use));
        } else {
            try {
                go_on();
            } catch (const std::system_error& error) {
                done(error_reply(error.code(), error.what()));
            }
        }
    };
    use_check_.emplace(places_.loop, places_.files.start_process(), places_.devices, disk_.device, judge);
}

}  // namespace blktap::tapback
