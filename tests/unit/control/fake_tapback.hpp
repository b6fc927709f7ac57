// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FakeTapback: a tapback that is one function: it answers each request as the test says, and records the requests. It
// serves any number of clients, on a thread of its own, until it is destroyed.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "libblktap/base/unique_fd.hpp"
#include "libblktap/ipc/channel.hpp"
#include "tests/support/temporary_directory.hpp"

namespace blktap::testing {

class FakeTapback {
  public:
    /// Thrown by an Answer that is not to be sent.
    struct Silence {};
    /// Returns the result, or throws the error as std::system_error. Runs on the server's thread.
    using Answer = std::function<ipc::Json(const ipc::Request&)>;
    explicit FakeTapback(Answer answer);
    FakeTapback(const FakeTapback&) = delete;
    FakeTapback& operator=(const FakeTapback&) = delete;
    ~FakeTapback();

    const std::string& socket() const noexcept { return socket_; }
    struct Asked {
        std::string request;
        ipc::Json arguments;
        std::size_t descriptors;

        friend bool operator==(const Asked&, const Asked&) = default;
    };
    /// All requests so far, in order.
    std::vector<Asked> asked() const;
    /// Their names, "claim attach".
    std::string names() const;

  private:
    void serve(ipc::MessageListener& listener);
    bool answer(ipc::Channel& client);

    TemporaryDirectory directory_;
    std::string socket_;
    Answer answer_;
    mutable std::mutex mutex_;
    std::vector<Asked> asked_;
    UniqueFd end_;
    std::thread thread_;
};

}  // namespace blktap::testing
