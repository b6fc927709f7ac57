// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// VbdRecord: what a tapback must know of a disk that an earlier one attached: the file D-V.json in the run directory.
// Everything else is in xenstore or known by the tapdisk. Written before the tapdisk is started, so that none can be
// running without one.
//
// Tested by tests/unit/tapback/vbd_record_test.cpp.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/tapback/process_id.hpp"
#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tapback {

struct VbdRecord {
    ipc::VbdAddress backend{};
    ipc::ImageArguments image{};
    bool plugged = false;
    std::string life{};                  ///< mark of its backend directory; empty: an earlier version's record
    std::optional<ProcessId> process{};  ///< its tapdisk; none: not started yet, or an earlier version's record
    std::string socket{};                ///< file in the run directory; empty: "D-V.sock"
    std::optional<ipc::ConnectArguments>
        rings{};                                ///< the last that its tapdisk was given; it knows whether it has them
    std::optional<ipc::TapArguments> tap{};     ///< as Xen's block-tap script names its tapdisk
    std::optional<ipc::ImageArguments> next{};  ///< asked for in the image's place; the tapdisk knows which it has

    friend bool operator==(const VbdRecord&, const VbdRecord&) = default;
};

/// Replaces the file in `directory`: a reader finds the old one or the new one. Errors: throws std::system_error.
void write_record(const std::string& directory, const VbdRecord& record);
/// Nothing happens when there is none.
void remove_record(const std::string& directory, const ipc::VbdAddress& backend) noexcept;
/// All records of a directory; one that says nonsense is logged and left where it is. What writers left that did not
/// get to their end is removed. Errors: throws std::system_error (EMFILE, ENFILE, ENOMEM: a record cannot be read for
/// now).
std::vector<VbdRecord> read_records(const std::string& directory);

}  // namespace blktap::tapback
