// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ControlHost: a dom0 for one test: the simulated hypervisor, a private xenstored, and the tapback that ships, with its
// own run directory. At the end of a test that did not fail it checks that nothing is left of any disk.
//
// Tested by tests/control/host/control_host_test.cpp.
#pragma once

#include <mutex>
#include <optional>

#include "libblktap/ipc/channel.hpp"
#include "libblktap/xenstore/xen_store.hpp"
#include "tests/control/host/world_processes.hpp"
#include "tests/fakexen/control.hpp"
#include "tests/support/places.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/xenstored.hpp"

namespace blktap::control_test {

class ControlHost {
  public:
    /// Starts all of it. Errors: throws what was wrong; a tapback that does not start, with its log.
    ControlHost();
    ControlHost(const ControlHost&) = delete;
    ControlHost& operator=(const ControlHost&) = delete;
    /// Ends all of it; CHECKs that no disk left anything.
    ~ControlHost();

    /// The configuration file of a tapback that starts from now on.
    void configure(const std::string& text) const;
    /// What a tapback that starts from now on has in its environment besides.
    void set_tapback_environment(std::vector<std::string> variables) { tapback_environment_ = std::move(variables); }
    /// The program that a tapback that starts from now on runs for each disk; tapdisk itself unless told.
    void use_tapdisk(const std::string& program) { tapdisk_ = program; }
    /// The tapback that starts from now on.
    void use_tapback(const std::string& program) { tapback_program_ = program; }
    /// A program, and its arguments, that runs tapbacks from now on, with theirs behind.
    void run_tapback_by(const std::vector<std::string>& runner) { runner_ = runner; }
    /// Returns when it answers.
    void start_tapback();
    /// False: it ends at once, does not answer, or takes no client for a second: it has no descriptor left for one.
    bool try_tapback();
    /// kill -9
    void kill_tapback();
    /// Asks it to end; its exit status.
    int stop_tapback();
    /// kill -9, and another one: may be called by any thread, one at a time.
    void replace_tapback();
    pid_t tapback_pid() const { return tapback_.pid(); }
    bool tapback_runs() { return tapback_.running(); }
    /// Arguments of a tapback in this host, its own path first.
    std::vector<std::string> tapback_command() const;

    /// A request to tapback, as its clients make it.
    /// Errors: throws std::system_error where there is no tapback.
    ipc::Reply call(const std::string& request, const ipc::Json& arguments = ipc::Json::object()) const;
    /// The entry of a disk in tapback's list; null when it has none.
    ipc::Json entry(std::uint16_t domain, std::uint32_t device) const;

    /// A connection of ours to xenstored.
    const XenStore& store() const { return *store_; }
    testing::Xenstored& xenstored() { return xenstored_; }
    void introduce(std::uint16_t domain) const { xenstored_.introduce(domain); }
    void release(std::uint16_t domain) const { xenstored_.release(domain); }
    /// After xenstored was killed and started.
    void reopen_store();

    const fakexen::World& world() const { return world_; }
    /// Variables for a program that runs as `domain`.
    std::vector<std::string> environment(std::uint16_t domain) const;

    /// A sparse file on a file system that can do direct I/O.
    std::string make_image(const std::string& name, std::uint64_t size_bytes) const;
    std::string path(const std::string& name) const { return directory_.path(name); }
    std::string run_directory() const { return directory_.path("run"); }
    std::vector<pid_t> tapdisks() const;
    /// The processes that touch storage for tapback, and the one that makes them.
    std::vector<pid_t> storage_processes() const;
    /// Whether one of them has this file open.
    bool holds(const std::string& path) const;
    /// What is in the run directory besides tapback's own socket.
    std::vector<std::string> leftovers() const;
    /// The end of what tapback and its tapdisks said.
    std::string log() const;
    /// How many lines of all of it have this text in them.
    std::size_t logged(const std::string& text) const;

    /// What block-tapdisk told the kernel's driver to let go of; empties it.
    std::string take_unbound() const;

  private:
    std::vector<pid_t> processes_named(const std::string& name) const;
    void check_nothing_left();

    fakexen::World world_{};
    testing::TemporaryDirectory directory_;
    testing::Process warden_;
    testing::Xenstored xenstored_{};
    std::optional<XenStore> store_{std::in_place};
    std::vector<std::string> tapback_environment_{};
    testing::Process tapback_;
    std::string tapback_program_ = BLKTAP_BIN_DIR "/tapback";
    std::string tapdisk_ = BLKTAP_BIN_DIR "/tapdisk";
    std::vector<std::string> runner_{};
    std::mutex mutex_;
};

}  // namespace blktap::control_test
