// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What tap-ctl image create, info, check and map do with the images of one format. A format is a table of functions
// here, and a line in image_commands.cpp.
//
// Tested by tests/unit/control/image_commands_test.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "control/tap_ctl/command_line.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap {

/// For the tables of an image that is looked at, with all that it is over. Twice what a disk has by default: no option
/// says here that an image may have more.
inline constexpr std::uint64_t inspection_memory_bytes = 512ULL << 20;

/// A piece of a disk that is stored in one way, all in bytes.
struct DiskPiece {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    std::string_view what{};
    std::string_view file{};            ///< in which it is stored; empty: it is not
    std::optional<std::uint64_t> at{};  ///< where in that its bytes are, one after the other; none when compressed
};
using PieceVisitor = std::function<void(const DiskPiece&)>;

struct CheckResult {
    ipc::Json json{};
    std::string text{};  ///< the same for people
    int status = 0;      ///< the exit status
};
inline constexpr int found_errors = 2;  // as qemu-img check has them
inline constexpr int found_leaks = 3;

/// Told now and then how much of the work is done.
using TellProgress = std::function<void(std::uint64_t done, std::uint64_t all)>;

/// What a new image can be, and not every format's can. What the command line asks for beyond it is refused for all
/// formats in one place, so that a format has to know only its own.
struct NewImageCan {
    bool be_fixed = false;          ///< as long as the disk from the start
    bool have_subclusters = false;  ///< extended L2 entries
    bool have_data_file = false;
};

/// Errors of all: throws std::system_error with a text for people. They block.
struct InspectedFormat {
    const char* name;
    NewImageCan can;
    /// Makes the image at `path` as the command line wants it, which asks for nothing that it cannot be.
    void (*create)(const std::string& path, const CommandLine& line);
    /// The image and what is below it, an object each.
    ipc::Json (*describe)(const std::string& path);
    CheckResult (*check)(const std::string& path, const TellProgress& tell);
    /// Calls `visit` for each piece of the disk, in order; neighbours are stored in different ways. What a piece refers
    /// to is there during the call.
    void (*map)(const std::string& path, const TellProgress& tell, const PieceVisitor& visit);
};

extern const InspectedFormat inspected_qcow2;
extern const InspectedFormat inspected_vhd;

/// The number of bytes that `text` stands for; `what` names it in the error.
std::uint64_t parse_bytes(const std::string& text, const std::string& what);

}  // namespace blktap
