// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// MortalTapdisk: a tapdisk that may be killed at any moment; another one then goes on with its rings. It does for one
// disk what tapback does: it starts tapdisks and gives each the recovery log of the one before.
#pragma once

#include <csignal>
#include <optional>
#include <string>
#include <vector>

#include "libblktap/base/clock.hpp"
#include "tests/fakexen/control.hpp"
#include "tests/replay/frontend/tapdisk_connection.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace blktap::testing {

class MortalTapdisk final : public replay::Connection {
  public:
    /// Starts the first. All references outlive this. `directory`: for its socket and log.
    MortalTapdisk(const fakexen::World& world, const TemporaryDirectory& directory, ipc::OpenArguments image);

    replay::Connected connect(const ipc::ConnectArguments& rings, const std::vector<int>& descriptors) override;
    void disconnect() override;
    int fd() const noexcept override { return channel_->fd(); }
    /// Where the tapdisk has died, starts the next one, which goes on. Errors: throws std::runtime_error (it cannot).
    bool check() override;
    std::optional<pid_t> backend_pid() const override { return process_.pid(); }

    /// Whose rings they are: a local one's descriptors are made anew by each tapdisk.
    void serves(replay::Frontend& frontend) { frontend_ = &frontend; }
    void kill() const noexcept { process_.signal(SIGKILL); }
    /// Ends it as tapback does. The exit status.
    std::optional<int> end();
    unsigned successors() const noexcept { return successors_; }
    /// Requests that successors found in the log.
    std::uint64_t adopted() const noexcept { return adopted_; }
    std::string output() const { return read_file(output_); }

  private:
    void start();
    void succeed();

    const fakexen::World& world_;
    const ipc::OpenArguments image_;
    const std::string socket_;
    const std::string log_path_;
    const std::string output_;
    Process process_;
    std::optional<ipc::Channel> channel_;
    ipc::ConnectArguments rings_{};
    UniqueFd memory_;  ///< of local rings
    ipc::DeviceDescription device_{};
    replay::Frontend* frontend_ = nullptr;
    unsigned successors_ = 0;
    std::uint64_t adopted_ = 0;
};

}  // namespace blktap::testing
