// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Taps: what Xen's block-tap script asks for (docs/tapback-protocol.md), and which disk each tapdisk that it made
// becomes. The script opens the image first and then writes the tapdisk's pid and number into the disk's directory in
// xenstore; from then on the tapdisk is the disk's, and Vbd's.
//
// Two disks that only read may share one pid and number, as the script lets them. A tapdisk serves one disk, so the
// second gets one of its own on the same image, under the same name; the name lasts as long as one of them.
//
// Tested by tests/unit/tapback/taps_test.cpp, tests/unit/tapback/tap_answers_test.cpp and tests/control/tap_test.cpp.
#pragma once

#include <set>

#include "control/tapback/tap_table.hpp"
#include "control/tapback/vbd/vbd.hpp"

namespace blktap::tapback {

class Taps {
  public:
    using Done = Vbd::Done;

    /// `host` outlives this.
    explicit Taps(Host& host);
    Taps(const Taps&) = delete;
    Taps& operator=(const Taps&) = delete;
    /// Leaves open tapdisks running.
    ~Taps();

    /// Finds what an earlier tapback left, which had these disks.
    void restore(const std::vector<VbdRecord>& records);
    /// Whether the socket file of this name is one of ours.
    bool has_socket(const std::string& name) const { return table_.pid_of(name).has_value(); }

    // The requests, in the protocol's words. Errors: throw std::system_error, or come in the reply.
    ipc::TapMinor allocate();
    ipc::TapPid spawn();
    void attach(const ipc::TapArguments& name);
    void open(const ipc::TapOpen& arguments, Done done);
    void destroy(const ipc::TapArguments& name, Done done);
    void free(const ipc::TapMinor& minor);
    ipc::TapListResult list(const ipc::TapList& arguments) const;

    /// After each look of a disk: gives it the tapdisk that its directory names. Errors: throws std::system_error.
    void look(Vbd& vbd);
    /// A disk that an earlier tapback paired.
    void add(Vbd& vbd);
    /// The disk is about to be destroyed.
    void forget(const Vbd& vbd);

  private:
    void pair(Vbd& vbd, Tap& tap, bool read_only);
    void share(Vbd& vbd, Vbd& first, bool read_only);
    void wake_waiting();
    TapdiskHandle::Hooks hooks(std::uint32_t pid);
    void find_again(const Tap& tap);
    void find_unfound();
    void ask(std::uint32_t pid);
    void ask_later(std::uint32_t pid, const std::string& reason);
    void restored(std::uint32_t pid, const ipc::Reply& stats);
    void opened(std::uint32_t pid, const ipc::Reply& reply, const Done& done);
    void end(Tap& tap);
    void ended(std::uint32_t pid);
    Vbd* user_of(const ipc::TapArguments& name) const;
    bool is_taken(std::uint32_t minor) const;
    std::vector<ipc::TapEntry> entries() const;
    Nanoseconds now() const { return host_.loop.clock().now(); }
    std::string path(const std::string& file) const { return host_.options.run_directory + '/' + file; }
    void save();
    void tick();

    Host& host_;
    TapTable table_;
    std::map<std::uint32_t, std::unique_ptr<TapdiskHandle>> processes_;  ///< by pid, those in the table
    std::set<std::uint32_t> unfound_;  ///< of the table: whether they live, or what they do, is asked again
    std::vector<std::unique_ptr<TapdiskHandle>> gone_;  ///< destroyed at the next tick
    std::multimap<std::uint32_t, std::function<void()>> when_ended_;
    std::map<std::string, Vbd*> paired_;  ///< by name, the disks whose tapdisk came by this way
    std::set<ipc::VbdAddress> waiting_;   ///< disks that share an image which is just being opened
    EventLoop::Timer timer_;
};

}  // namespace blktap::tapback
