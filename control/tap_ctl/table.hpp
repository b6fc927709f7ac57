// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What tap-ctl prints for people: tables, and JSON as aligned lines. Everything goes through printable(), because paths
// and reasons may quote what somebody else wrote.
//
// Tested by tests/unit/control/table_test.cpp.
#pragma once

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tap_ctl {

/// The text with control characters, and what is not UTF-8, as \xNN, so that it cannot move a terminal's cursor or make
/// a second line.
std::string printable(const std::string& text);

using Row = std::vector<std::string>;
/// Left-aligned columns, two spaces apart; no space at the end of a line. Rows may be shorter than the first.
void print_table(std::ostream& out, const std::vector<Row>& rows);

/// "20971520 sectors" as "10.0 GiB", "512 B"; rounded down.
std::string size_text(std::uint64_t sectors);
/// "raw:/srv/a.img?size=1G (read-only)"
std::string image_text(const ipc::ImageArguments& image);

/// "59 s", "3 min", "47 h", "12 days"; rounded down.
std::string duration_text(std::uint64_t seconds);
/// A VBD with what its tapdisk says of itself.
struct VbdTapdisk {
    ipc::VbdEntry vbd{};
    std::optional<ipc::AboutResult> about{};
};
/// Which version serves each VBD; "-" where that is not known.
void print_tapdisks(std::ostream& out, const std::vector<VbdTapdisk>& vbds);

/// The VBDs as a table; below it, a line for each that something hinders.
void print_list(std::ostream& out, const std::vector<ipc::VbdEntry>& vbds);
void print_info(std::ostream& out, const VbdTapdisk& of);
/// Every value of a JSON object on a line of its own, under the names that lead to it: "aio.in-kernel  0".
void print_values(std::ostream& out, const ipc::Json& json);

}  // namespace blktap::tap_ctl
