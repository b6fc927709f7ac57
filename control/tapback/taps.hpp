// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Taps: the requests of Xen's block-tap script (docs/tapback-protocol.md), and the pairing of its tapdisks with disks.
// The script opens the image first and then writes the tapdisk's pid and number into the disk's directory in xenstore;
// from then on the tapdisk belongs to the disk's Vbd.
//
// The script lets two read-only disks share one pid and number. A tapdisk serves one disk, so the second disk gets its
// own tapdisk on the same image, under the same name, which lasts as long as either disk.
//
// Until a disk has it, each tapdisk has a DiskSession here.
//
// Tested by tests/unit/tapback/taps_test.cpp, tests/unit/tapback/tap_answers_test.cpp and tests/control/tap_test.cpp.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

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

    /// Finds the tapdisks that an earlier tapback left. `records`: the disks that it had.
    void restore(const std::vector<VbdRecord>& records);
    /// Whether the socket file of this name is one of ours.
    bool has_socket(const std::string& name) const { return table_.pid_of(name).has_value(); }

    // The requests, as the protocol names them. Errors: throw std::system_error, or are the reply.
    ipc::TapMinor allocate();
    ipc::TapPid spawn();
    void attach(const ipc::TapArguments& name);
    void open(const ipc::TapOpen& arguments, Done done);
    void destroy(const ipc::TapArguments& name, Done done);
    void free(const ipc::TapMinor& minor);
    ipc::TapListResult list(const ipc::TapList& arguments) const;

    /// Gives a disk the tapdisk that its directory names; call it after each Vbd::look(). Errors: throws
    /// std::system_error.
    void look(Vbd& vbd);
    /// A disk that an earlier tapback paired.
    void add(Vbd& vbd);
    /// The disk is about to be destroyed.
    void forget(const Vbd& vbd);

  private:
    void pair(Vbd& vbd, Tap& tap, bool read_only);
    void share(Vbd& vbd, Vbd& first, bool read_only);
    void wake_waiting();
    DiskSession& add_session(const std::string& socket);
    DiskSession::Hooks hooks(const std::string& socket);
    DiskSession& session_of(const Tap& tap) { return *sessions_.at(tap.socket); }
    void find_again(const Tap& tap);
    Tap* tap_of(const std::string& socket);
    void changed(const std::string& socket);
    void is_open(const std::string& socket);
    void opened(std::uint32_t pid, const ipc::Reply& reply);
    void end(Tap& tap);
    void ended(const std::string& socket);
    Vbd* user_of(const ipc::TapArguments& name) const;
    bool is_taken(std::uint32_t minor) const;
    std::vector<ipc::TapEntry> entries() const;
    Nanoseconds now() const { return host_.loop.clock().now(); }
    std::string path(const std::string& file) const { return host_.options.run_directory + '/' + file; }
    void save();
    void tick();

    Host& host_;
    TapTable table_;
    std::map<std::string, std::unique_ptr<DiskSession>> sessions_;  ///< of the tapdisks in the table, by socket
    std::vector<std::unique_ptr<DiskSession>> gone_;                ///< destroyed at the next tick
    std::multimap<std::uint32_t, std::function<void()>> when_ended_;
    std::map<std::string, Vbd*> paired_;  ///< disks, by name, whose tapdisk came from the script
    std::set<ipc::VbdAddress> waiting_;   ///< disks whose image is still being opened
    EventLoop::Timer timer_;
};

}  // namespace blktap::tapback
