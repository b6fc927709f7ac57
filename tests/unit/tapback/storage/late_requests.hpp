// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Tapdisks that died, and what the kernel still has of them.
#pragma once

#include <fcntl.h>
#include <functional>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include "control/tapback/storage/held_files.hpp"
#include "control/tapback/system/child_process.hpp"
#include "libblktap/ipc/message_socket.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_directory.hpp"

namespace blktap::tapback {

inline ProcessId own_id() {
    return identify(::getpid()).value();
}

/// A process that was there and is not any more.
inline ProcessId dead_process() {
    const ChildProcess child = spawn_child({"/bin/sleep", "1000"});
    const ProcessId id = identify(child.pid).value();
    child.kill();
    return id;
}

/// An open file description that only the kernel refers to: in a message that nobody receives. For the locks it is what
/// a request is that outlives its process.
class LateRequest {
  public:
    explicit LateRequest(UniqueFd file) {
        int ends[2] = {-1, -1};
        REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
        to_.emplace(UniqueFd(ends[0]));
        from_.emplace(UniqueFd(ends[1]));
        to_->send("a file", {file.get()});
    }

  private:
    std::optional<ipc::MessageSocket> to_{};
    std::optional<ipc::MessageSocket> from_{};
};

/// HeldFiles without rules, whose waits are counted.
struct WatchedFiles {
    /// `at_look`: called at each look of a wait, with its number, from 1 on.
    explicit WatchedFiles(std::function<void(int)> at_look = {})
        : files(std::in_place, ImageDirectories{{"/"}, {}}, [this, at_look] {
              ++looks;
              if (at_look) at_look(looks);
              if (looks > 1000) throw std::runtime_error("waits for ever");
          }) {}

    UniqueFd open(const std::string& path, const ProcessId& tapdisk, bool read_only = false) {
        return files->open({path, read_only, false, {}}, path, tapdisk, [](const auto&, auto) {});
    }
    void keep(const std::string& path, UniqueFd fd, const ProcessId& tapdisk) {
        files->keep({path, false, false, {}}, std::move(fd), tapdisk, [](const auto&, auto) {});
    }

    int looks = 0;
    std::optional<HeldFiles> files;
};

}  // namespace blktap::tapback
