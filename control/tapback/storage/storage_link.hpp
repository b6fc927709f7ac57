// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// StorageLink: tapback's connection to one storage process, which does one job after the other. A job that hangs delays
// the jobs behind it, and nothing else.
//
// Tested by tests/unit/tapback/storage/storage_link_test.cpp.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "libblktap/base/event_loop.hpp"
#include "libblktap/ipc/channel.hpp"

namespace blktap::tapback {

class StorageLink {
  public:
    /// Called for each question of the process during a job. An exception is the answer. Must not destroy the link.
    using Ask = std::function<void(const ipc::Request&)>;
    /// Called once for each job, with its reply; Errc::peer_closed: the process has ended, or sent nonsense. Must not
    /// destroy the link; may add jobs.
    using Done = std::function<void(const ipc::Reply&)>;

    /// `loop` outlives this.
    StorageLink(EventLoop& loop, ipc::MessageSocket socket);
    StorageLink(const StorageLink&) = delete;
    StorageLink& operator=(const StorageLink&) = delete;
    /// Hangs up. The callbacks of unfinished jobs are not called.
    ~StorageLink();

    /// Adds a job. `descriptor`: sent with the message; the caller owns it and keeps it open until the job is done; -1:
    /// none. `done` is called later, and from inside add() only if the process has ended.
    template <ipc::DeclaredMessage M>
    void add(const M& message, int descriptor, Ask ask, Done done) {
        add(Job{M::name, message, descriptor, std::move(ask), std::move(done)});
    }
    /// The number of jobs that are not done, the current one included.
    std::size_t jobs() const noexcept { return jobs_.size(); }
    /// Whether the process has ended; all jobs were answered then.
    bool lost() const noexcept { return !channel_; }

  private:
    struct Job {
        std::string name;
        ipc::Json arguments;
        int descriptor;
        Ask ask;
        Done done;
    };

    void add(Job job);
    void start_first();
    void receive();
    void handle(const ipc::Parsed& message);
    void lose(const std::string& reason);

    std::optional<ipc::Channel> channel_;
    std::optional<EventLoop::Watch> watch_;
    std::deque<Job> jobs_;            ///< the first is the current one
    std::uint64_t first_number_ = 0;  ///< the id of the first job's message
};

}  // namespace blktap::tapback
