// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// MortalTapdisk: a tapdisk that dies as it is told, again and again; another one then goes on with its rings. It does
// for one disk what tapback does: it starts tapdisks and gives each the recovery log of the one before. The program is
// tapdisk with named stores (tests/crash/mortal/death.hpp).
#pragma once

#include <csignal>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "libblktap/base/clock.hpp"
#include "libblktap/ipc/channel.hpp"
#include "tests/crash/mortal/death.hpp"
#include "tests/crash/mortal/deaths.hpp"
#include "tests/fakexen/control.hpp"
#include "tests/replay/frontend/connection.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace blktap::testing {

/// The end that one tapdisk is to have.
struct Fate {
    std::string store{};                 ///< dies when it has made this store ...
    unsigned passage = 1;                ///< ... for the Nth time
    std::optional<Nanoseconds> after{};  ///< dies so long after its start
    bool old_log = false;                ///< finds a log of the version before
};

class MortalTapdisk {
  public:
    struct Options {
        ipc::OpenArguments image{};
        /// Asked before each start, with the store at which the last one died (empty: elsewhere).
        std::function<Fate(const std::string& died_at)> next_fate = [](const std::string&) { return Fate{}; };
        std::string fault{};        ///< that all of them have
        std::string bad_storage{};  ///< while this file exists, flushes fail
        /// Opens the image's files for a process; without it the process opens them.
        std::function<UniqueFd(const ipc::OpenFileArguments&, pid_t)> open_file{};
        bool tormented = false;  ///< others read all the time how much memory it uses
    };

    /// A frontend's connection; the first is the guest's, and it notices deaths. The others may be on other threads.
    class Link final : public replay::Connection {
      public:
        Link(MortalTapdisk& tapdisk, std::string name);
        replay::Connected connect(const ipc::ConnectArguments& rings, const std::vector<int>& descriptors) override;
        void disconnect() override { tapdisk_.disconnect(*this); }
        int fd() const noexcept override;
        bool check() override;
        std::optional<pid_t> backend_pid() const override { return std::nullopt; }
        /// Whose rings they are: a local one's descriptors are made anew by each tapdisk.
        void serves(replay::Frontend& frontend) { frontend_ = &frontend; }

      private:
        friend MortalTapdisk;
        void take_new_descriptors();

        MortalTapdisk& tapdisk_;
        const std::string name_;
        const std::string log_path_;
        ipc::ConnectArguments rings_{};
        UniqueFd memory_{};  ///< of local rings
        replay::Frontend* frontend_ = nullptr;
        UniqueFd news_{};  ///< readable when there are new descriptors
        std::mutex mutex_{};
        std::vector<UniqueFd> new_descriptors_{};
        bool abandoned_ = false;
    };

    /// Starts the first. All references outlive this. `directory`: for its socket and logs.
    MortalTapdisk(const fakexen::World& world, const TemporaryDirectory& directory, Options options);

    pid_t pid() const noexcept { return process_.pid(); }
    /// Another connection, "" for the first.
    Link& link(const std::string& name);
    /// Nobody will serve `link`, which is not the first: its frontend gets an error.
    void abandon(Link& link) noexcept;
    void kill() noexcept;
    /// Pauses the disk and kills its tapdisk; returns when the successor has adopted the rings, and is paused.
    void die_paused();
    void pause();
    void resume(bool accept_loss = false);
    bool paused() const noexcept { return paused_; }
    /// Does `what` then, once, on the thread of the first link; nothing else is due any more.
    void at(Nanoseconds when, std::function<void()> what);
    void do_what_is_due(Nanoseconds now);
    ipc::Json stats();
    /// Ends it as tapback does. The exit status.
    std::optional<int> end();

    Deaths& deaths() noexcept { return deaths_; }
    const Deaths& deaths() const noexcept { return deaths_; }
    /// What the one that serves is to die of.
    const Fate& fate() const noexcept { return fate_; }
    /// Requests that successors found in the log.
    std::uint64_t adopted() const noexcept { return adopted_; }
    std::string output() const { return read_file(output_); }
    /// For a test that failed: what they died of, in order, and what the last one is to die of.
    std::string describe() const;

  private:
    void start();
    bool reach();
    void watch(int fd) const;
    void bury();
    void go_on();
    void adopt(Link& link);
    void disconnect(Link& link);
    ipc::Reply ask(const std::string& name, const ipc::Json& arguments, const std::vector<int>& descriptors);
    template <ipc::DeclaredMessage M>
    ipc::Reply ask(const M& message, const std::vector<int>& descriptors = {}) {
        return ask(M::name, message, descriptors);
    }
    std::optional<ipc::Reply> next_reply();
    void answer(const ipc::Request& request);
    void make_log_old(const Link& link) const;
    /// Does `step`, which is told to the one that serves; where that dies of it, with the next one.
    void tell(const std::function<void()>& step);

    const fakexen::World& world_;
    const TemporaryDirectory& directory_;
    const Options options_;
    const std::string socket_;
    const std::string output_;
    Deaths deaths_;
    Process process_;
    std::vector<Process> tormentors_{};
    Fate fate_;
    std::optional<ipc::Channel> channel_;
    UniqueFd timer_;
    UniqueFd events_;  ///< an epoll of channel and timer
    Nanoseconds due_at_ = Nanoseconds::max();
    std::function<void()> due_;
    std::list<Link> links_;
    std::vector<Link*> connected_;  ///< those whose rings it has
    ipc::DeviceDescription device_{};
    bool paused_ = false;
    std::uint64_t adopted_ = 0;
};

}  // namespace blktap::testing
