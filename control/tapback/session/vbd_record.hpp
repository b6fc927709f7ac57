// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// VbdRecord: what a tapback must know about a disk that an earlier tapback attached: the file D-V.json in the run
// directory. xenstore and the tapdisk know everything else. It is written before the tapdisk is started, so that no
// tapdisk runs without a record.
//
// Tested by tests/unit/tapback/session/vbd_record_test.cpp.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/tapback/system/process_id.hpp"
#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tapback {

struct VbdRecord {
    ipc::VbdAddress backend{};
    ipc::ImageArguments image{};
    bool plugged = false;
    std::string life{};                  ///< mark of its backend directory; empty: an earlier version's record
    std::optional<ProcessId> process{};  ///< the tapdisk; none: not started yet, or an earlier version's record
    std::string socket{};                ///< file in the run directory; empty: "D-V.sock"
    std::optional<ipc::ConnectArguments> rings{};    ///< the last given to the tapdisk, which knows whether it has them
    std::optional<ipc::TapArguments> tap{};          ///< the tapdisk's name in Xen's block-tap script
    std::optional<ipc::DeviceDescription> device{};  ///< as guests know it
    bool paused = false;                             ///< the image is closed, on request
    bool recovering = false;  ///< the tapdisk was started to go on where another one died, and did not yet
    std::optional<ipc::ImageArguments> next{};  ///< asked for in place of `image`; the tapdisk knows which it has
    std::vector<std::uint64_t> deaths{};        ///< times of the last deaths of its tapdisks (deaths.hpp)
    std::string held{};                         ///< why no tapdisk is to go on; empty: one may

    friend bool operator==(const VbdRecord&, const VbdRecord&) = default;
};

/// Replaces the file in `directory` atomically. Errors: throws std::system_error.
void write_record(const std::string& directory, const VbdRecord& record);
/// Does nothing if there is no record.
void remove_record(const std::string& directory, const ipc::VbdAddress& backend) noexcept;
/// Returns all records of a directory. A record that is nonsense is logged and left where it is; unfinished files of
/// writers are removed. Errors: throws std::system_error (EMFILE, ENFILE, ENOMEM: a record cannot be read for now).
std::vector<VbdRecord> read_records(const std::string& directory);

}  // namespace blktap::tapback
