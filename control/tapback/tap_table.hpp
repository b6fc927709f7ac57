// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// TapTable: the tapdisks that Xen's block-tap script has made and not yet written into a disk's backend directory, and
// the numbers ("minors") that it took. Pure: Taps runs the processes. A tapdisk that no disk claims expires a while
// after its last request, because a script that fails forgets it.
//
// Tested by tests/unit/tapback/tap_table_test.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "libblktap/base/clock.hpp"
#include "libblktap/ipc/tapback_messages.hpp"

namespace blktap::tapback {

struct Tap {
    std::uint32_t pid = 0;
    std::optional<std::uint64_t> start{};        ///< with the pid: the ProcessId; none: an earlier version's
    std::string socket{};                        ///< name of its file in the run directory: "tap-3.sock"
    std::optional<std::uint32_t> minor{};        ///< after tap-attach
    std::optional<ipc::ImageArguments> image{};  ///< after tap-open began
    bool open = false;                           ///< the image is open
    bool ending = false;                         ///< find() does not return it any more
    Nanoseconds deadline{};
};

class TapTable {
  public:
    /// Limit of tapdisks and of numbers without a disk: the script makes one at a time, and records it within seconds.
    static constexpr std::size_t unclaimed_max = 64;
    /// Numbers are below this: as many as Linux has minors, which the script takes them for.
    static constexpr std::uint32_t minors_max = 1u << 20;
    static constexpr Nanoseconds patience = std::chrono::minutes(1);
    /// Whether a disk has this number.
    using Taken = std::function<bool(std::uint32_t minor)>;

    // The requests. Errors of all: throw std::system_error: ENOENT (no such tapdisk), EBUSY (the number is taken),
    // EINVAL (out of range), EAGAIN (too many), Errc::wrong_state.

    /// Takes the lowest free number.
    std::uint32_t allocate(const Taken& taken, Nanoseconds now);
    /// Throws when one more tapdisk would be too many.
    void require_room() const;
    /// Adds a tapdisk, without a number or an image yet.
    void add(std::uint32_t pid, std::uint64_t start, const std::string& socket, Nanoseconds now);
    /// Gives a tapdisk its number: one that was allocated, or is free.
    void attach(const ipc::TapArguments& name, const Taken& taken, Nanoseconds now);
    /// Gives `image`, which is about to be opened, to the tapdisk that has this number and no image yet, and returns
    /// the tapdisk.
    Tap& begin_open(const ipc::TapArguments& name, const ipc::ImageArguments& image, Nanoseconds now);
    /// Frees the number. Errors: also EBUSY: a tapdisk has it.
    void free(std::uint32_t minor);

    /// Null: there is none, or it is ending.
    Tap* find(std::uint32_t pid);
    /// As find(pid), and the number must match as well.
    Tap* find(const ipc::TapArguments& name);
    /// The pid of the tapdisk whose socket has this name.
    std::optional<std::uint32_t> pid_of(const std::string& socket) const;
    /// Removes the tapdisk and its number: it has ended, or belongs to a disk now.
    void remove(std::uint32_t pid);
    bool empty() const noexcept { return taps_.empty() && numbers_.empty(); }

    /// Returns the tapdisks that have expired; frees the numbers that have expired.
    std::vector<std::uint32_t> expire(Nanoseconds now);
    /// When to call expire() again; nullopt: nothing can expire.
    std::optional<Nanoseconds> next_deadline() const;

    /// The lowest socket name that no tapdisk here has and for which `used` returns false.
    std::string free_socket(const std::function<bool(const std::string& name)>& used) const;

    const std::map<std::uint32_t, Tap>& taps() const noexcept { return taps_; }
    /// The allocated numbers, each with the time when it is freed.
    const std::map<std::uint32_t, Nanoseconds>& numbers() const noexcept { return numbers_; }

    /// The table for the file that outlives this tapback.
    ipc::Json to_json() const;
    /// Errors: throws std::system_error (Errc::bad_message).
    static TapTable from_json(const ipc::Json& json, Nanoseconds now);

  private:
    Tap& require(std::uint32_t pid);
    bool has_number(std::uint32_t minor) const;

    std::map<std::uint32_t, Tap> taps_;             ///< by pid
    std::map<std::uint32_t, Nanoseconds> numbers_;  ///< allocated, and no tapdisk's yet
};

}  // namespace blktap::tapback
