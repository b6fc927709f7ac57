// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// StorageLink: tapback's end of one storage process: what it is to do, one job after the other. A job that hangs keeps
// those behind it waiting, and nobody else.
//
// Tested by tests/unit/tapback/storage_link_test.cpp.
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
    /// What the process asks while it does a job. What this throws is the answer. Must not destroy the link.
    using Ask = std::function<void(const ipc::Request&)>;
    /// Called once for each job, whose reply it is; Errc::peer_closed: the process has ended, or says nonsense. Must
    /// not destroy the link; may add jobs.
    using Done = std::function<void(const ipc::Reply&)>;

    /// `loop` outlives this.
    StorageLink(EventLoop& loop, ipc::MessageSocket socket);
    StorageLink(const StorageLink&) = delete;
    StorageLink& operator=(const StorageLink&) = delete;
    /// Hangs up; jobs that are not done never are.
    ~StorageLink();

    /// `descriptor`: goes with the message, and is the caller's, open until the job is done; -1: none. `done` is called
    /// later, never from in here, unless the process has ended.
    template <ipc::DeclaredMessage M>
    void add(const M& message, int descriptor, Ask ask, Done done) {
        add(Job{M::name, message, descriptor, std::move(ask), std::move(done)});
    }
    /// Jobs that are not done, the one in hand included.
    std::size_t jobs() const noexcept { return jobs_.size(); }
    /// The process has ended; all jobs were answered.
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
    std::deque<Job> jobs_;            ///< the first is in hand
    std::uint64_t first_number_ = 0;  ///< of the message of the first
};

}  // namespace blktap::tapback
