// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// TapdiskSearch: finds the process that tapback started as the tapdisk of a socket, if there is no record, by the
// arguments in /proc. Reading them may hang with the process, so a storage process does it.
//
// Tested by tests/unit/tapback/session/tapdisk_search_test.cpp.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>

#include "control/tapback/storage/storage_link.hpp"

namespace blktap::tapback {

class TapdiskSearch {
  public:
    /// A connection to a new storage process. May throw std::system_error.
    using StartProcess = std::function<ipc::MessageSocket()>;
    using Done = std::function<void(bool yes)>;

    /// `loop` outlives this.
    TapdiskSearch(EventLoop& loop, StartProcess start);
    TapdiskSearch(const TapdiskSearch&) = delete;
    TapdiskSearch& operator=(const TapdiskSearch&) = delete;
    ~TapdiskSearch();

    /// The living process that was started for this socket; nullopt: none. Errors: throws std::system_error: EAGAIN (it
    /// is being looked for: ask again a second later), EMFILE, ...
    std::optional<pid_t> find(const std::string& socket_path);
    /// Whether this process was started for the socket; false if its arguments cannot be read. `done` is called later.
    /// Errors: throws std::system_error (EMFILE, ...).
    void ask(pid_t pid, const std::string& socket_path, Done done);

  private:
    using Found = std::function<void(std::optional<pid_t> pid, const std::string& problem)>;

    void look(pid_t pid, const std::string& socket_path, Found found);

    struct Result {
        bool known = false;
        std::optional<pid_t> pid{};
    };

    EventLoop& loop_;
    const StartProcess start_;
    std::map<std::string, Result> results_;  ///< of find(), by socket
    std::unique_ptr<StorageLink> link_;
    EventLoop::Timer idle_timer_;
};

}  // namespace blktap::tapback
