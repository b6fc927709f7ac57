// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// DiskRecord: the file with a disk's record, which the next tapback reads. A record that could not be written, because
// the run directory is full, is due until it is: what depends on it is refused, or comes true later.
//
// Tested by tests/unit/tapback/vbd/disk_record_test.cpp.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "control/tapback/session/vbd_record.hpp"

namespace blktap::tapback {

class DiskRecord {
  public:
    struct Hooks {
        /// The record as it is to be; nullopt: there is nothing to record.
        std::function<std::optional<VbdRecord>()> gather;
        /// Asks for a look() some seconds later.
        std::function<void()> later;
    };

    /// `run_directory` outlives this.
    DiskRecord(const std::string& run_directory, const ipc::VbdAddress& disk, Hooks hooks)
        : run_directory_(run_directory), disk_(disk), hooks_(std::move(hooks)) {}
    DiskRecord(const DiskRecord&) = delete;
    DiskRecord& operator=(const DiskRecord&) = delete;

    /// Errors: throws std::system_error; the old record is left, and look() tries again.
    void write();
    /// The same; a failure is logged.
    void try_to_write() noexcept;
    /// Writes the record if it is due.
    void look() noexcept;
    void remove() noexcept;

  private:
    const std::string& run_directory_;
    const ipc::VbdAddress disk_;
    const Hooks hooks_;
    bool due_ = false;
};

}  // namespace blktap::tapback
