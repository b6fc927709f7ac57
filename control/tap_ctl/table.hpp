// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// tap-ctl's output for people: tables, and JSON as aligned lines. All text goes through printable(), because paths and
// reasons may come from anybody.
//
// Tested by tests/unit/control/table_test.cpp.
#pragma once

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tap_ctl {

/// Returns the text with control characters and bytes that are not UTF-8 as \xNN, so that it cannot move a terminal's
/// cursor or make a second line.
std::string printable(const std::string& text);

using Row = std::vector<std::string>;
/// Prints left-aligned columns, two spaces apart, without space at the end of a line. Rows may have different lengths.
void print_table(std::ostream& out, const std::vector<Row>& rows);

/// A size for people: "10.0 GiB" for 20971520 sectors, "512 B" for one; rounded down.
std::string size_text(std::uint64_t sectors);
/// "raw:/srv/a.img?size=1G (read-only)"
std::string image_text(const ipc::ImageArguments& image);

/// "59 s", "3 min", "47 h", "12 days"; rounded down.
std::string duration_text(std::uint64_t seconds);
/// A VBD, and its tapdisk's answer to "about".
struct VbdTapdisk {
    ipc::VbdEntry vbd{};
    std::optional<ipc::AboutResult> about{};
};
/// Prints which version serves each VBD; "-": not known.
void print_tapdisks(std::ostream& out, const std::vector<VbdTapdisk>& vbds);

/// Prints the VBDs as a table, and below it a line for each that has a problem.
void print_list(std::ostream& out, const ipc::ListResult& list);
void print_info(std::ostream& out, const VbdTapdisk& of);
/// Prints each value of a JSON object on its own line, after the names that lead to it: "aio.in-kernel  0".
void print_values(std::ostream& out, const ipc::Json& json);

}  // namespace blktap::tap_ctl
