// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vbd/disk_record.hpp"

#include "libblktap/base/log.hpp"

namespace blktap::tapback {

void DiskRecord::write() {
    due_ = true;
    try {
        const auto record = hooks_.gather();
        if (record) write_record(run_directory_, *record);
        due_ = false;
    } catch (...) {
        hooks_.later();
        throw;
    }
}

void DiskRecord::try_to_write() noexcept {
    try {
        write();
    } catch (const std::exception& error) {
        log::error("record", {{"vbd", disk_.name()}, {"reason", error.what()}, {"state", "tried again"}});
    }
}

void DiskRecord::look() noexcept {
    if (!due_) return;
    try {
        write();
        log::info("record", {{"vbd", disk_.name()}, {"state", "written"}});
    } catch (const std::exception&) {
        return;  // the first failure is logged, and this is tried again
    }
}

void DiskRecord::remove() noexcept {
    due_ = false;
    remove_record(run_directory_, disk_);
}

}  // namespace blktap::tapback
