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

#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tapback {

struct VbdRecord {
    ipc::VbdAddress backend{};
    ipc::ImageArguments image{};
    bool plugged = false;
    std::string socket{};                       ///< file in the run directory; empty: "D-V.sock"
    std::optional<ipc::TapArguments> tap{};     ///< as Xen's block-tap script names its tapdisk
    std::optional<ipc::ImageArguments> next{};  ///< asked for in the image's place; the tapdisk knows which it has

    friend bool operator==(const VbdRecord&, const VbdRecord&) = default;
};

/// Replaces a file: a reader finds the old text or the new one. Errors: throws std::system_error.
void replace_file(const std::string& path, const std::string& text);

/// Replaces the file in `directory`: a reader finds the old one or the new one. Errors: throws std::system_error.
void write_record(const std::string& directory, const VbdRecord& record);
/// Nothing happens when there is none.
void remove_record(const std::string& directory, const ipc::VbdAddress& backend) noexcept;
/// All records of a directory; one that cannot be read is logged and left where it is.
std::vector<VbdRecord> read_records(const std::string& directory);

}  // namespace blktap::tapback
