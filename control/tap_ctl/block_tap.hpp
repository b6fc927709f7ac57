// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The calls of Xen's hotplug script block-tap (4.19 and later), which expects the tap-ctl of another project: its
// options, and exactly its output. Each is one request of tapback; a tapdisk is named by its pid and a "minor", a
// number that has no other meaning here. A new disk line should use script=block-tapdisk, which needs none of this.
//
// Tested by tests/unit/control/block_tap_test.cpp.
#pragma once

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "control/tap_ctl/command_line.hpp"
#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tap_ctl {

/// "pid=4711 minor=3 state=0 args=aio:/srv/a.img"; absent fields are left out.
std::string tap_list_line(const ipc::TapEntry& tap);
/// "/run/blktap-control/tapdisk/tapdisk-3": the script reads the number from it; there is no such file.
std::string tap_allocate_line(std::uint32_t minor);

/// What `list` looks for; empty and nullopt match everything.
struct TapFilter {
    std::string type{};  ///< the script's name of the format: "aio" is our "raw"
    std::string file{};
    std::optional<std::uint32_t> pid{};
    std::optional<std::uint32_t> minor{};
};
bool matches(const TapFilter& filter, const ipc::TapEntry& tap);

/// Adds the script's options to "list": with one of them "list" prints what the script expects.
void add_block_tap_filter(CLI::App& list, CommandLine& line);
bool asks_as_block_tap(const CommandLine& line);
int list_as_block_tap(const CommandLine& line, std::ostream& out);

}  // namespace blktap::tap_ctl
