// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// TapTable: the tapdisks that Xen's block-tap script has made and not yet written into a disk's backend directory, and
// the numbers ("minors") that it took. Pure: who runs the processes is Taps. What no disk claims ends a while after
// its last request, because the script forgets what it made when it fails.
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
    std::optional<std::uint64_t> start{};        ///< with the pid, which process it is; none: an earlier version's
    std::string socket{};                        ///< name of its file in the run directory: "tap-3.sock"
    std::optional<std::uint32_t> minor{};        ///< after tap-attach
    std::optional<ipc::ImageArguments> image{};  ///< after tap-open began
    bool open = false;                           ///< the image is open
    bool ending = false;                         ///< nobody finds it any more
    Nanoseconds deadline{};
};

class TapTable {
  public:
    /// Tapdisks and numbers of no disk: the script makes one at a time, and writes it down within seconds.
    static constexpr std::size_t unclaimed_max = 64;
    /// Numbers are below this one: as many as Linux has minors, which is what the script thinks they are.
    static constexpr std::uint32_t minors_max = 1u << 20;
    static constexpr Nanoseconds patience = std::chrono::minutes(1);
    /// Whether a disk has this number.
    using Taken = std::function<bool(std::uint32_t minor)>;

    // The requests. Errors, of all: throw std::system_error: ENOENT (no such tapdisk), EBUSY (somebody else has the
    // number), EINVAL (out of range), EAGAIN (too many), Errc::wrong_state.

    /// Takes the lowest free number.
    std::uint32_t allocate(const Taken& taken, Nanoseconds now);
    /// Throws when one more tapdisk would be too many.
    void require_room() const;
    /// A new tapdisk. Its number and image are to come.
    void add(std::uint32_t pid, std::uint64_t start, const std::string& socket, Nanoseconds now);
    /// Gives a tapdisk its number: one that was allocated, or that nobody has.
    void attach(const ipc::TapArguments& name, const Taken& taken, Nanoseconds now);
    /// The tapdisk that has this number and no image yet; from now on it has this one, which is being opened.
    Tap& begin_open(const ipc::TapArguments& name, const ipc::ImageArguments& image, Nanoseconds now);
    /// Nobody has the number from now on. Errors: also EBUSY: a tapdisk has it.
    void free(std::uint32_t minor);

    /// Null: none, or one that is ending.
    Tap* find(std::uint32_t pid);
    /// As find(), and with this number.
    Tap* find(const ipc::TapArguments& name);
    /// Whose socket has this name.
    std::optional<std::uint32_t> pid_of(const std::string& socket) const;
    /// The tapdisk is gone, or a disk's: no trace of it and of its number stays here.
    void remove(std::uint32_t pid);
    bool empty() const noexcept { return taps_.empty() && numbers_.empty(); }

    /// Tapdisks whose time is over; numbers whose time is over are freed.
    std::vector<std::uint32_t> expire(Nanoseconds now);
    /// When to ask again; nullopt: nothing waits.
    std::optional<Nanoseconds> next_deadline() const;

    /// The lowest name that no tapdisk here has for its socket and that `used` does not say is taken.
    std::string free_socket(const std::function<bool(const std::string& name)>& used) const;

    const std::map<std::uint32_t, Tap>& taps() const noexcept { return taps_; }
    /// By number: when it is freed.
    const std::map<std::uint32_t, Nanoseconds>& numbers() const noexcept { return numbers_; }

    /// For the file that outlives this tapback.
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
