// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// StoreRelay: stands between one program and xenstored, counts the program's messages, and lets something happen just
// before one of them. Looping that one upwards until nothing happens any more puts what others write between every two
// things that the program reads. Interference follows the store's changes; this follows a program's looks at it.
// It can also answer in xenstored's place: one whose quota is used up, or that is short of memory.
//
// Tested by tests/control/moments_test.cpp and tests/control/hostile/refusing_store_test.cpp.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "libblktap/base/unique_fd.hpp"
#include "tests/support/temporary_directory.hpp"

namespace blktap::control_test {

class StoreRelay {
  public:
    /// Relays to the xenstored of this process's environment, to which it connects for each of its own clients.
    /// Errors: throws std::system_error.
    StoreRelay();
    StoreRelay(const StoreRelay&) = delete;
    StoreRelay& operator=(const StoreRelay&) = delete;
    ~StoreRelay();

    /// What a program has in its environment to use this instead of xenstored.
    std::string variable() const { return "XENSTORED_PATH=" + path(); }

    /// Runs `act` once, while the `message`-th message (from 1) that comes from now on waits.
    void before_message(unsigned message, std::function<void()> act);
    /// No `act` begins from now on. Whether it happened. Errors: throws what `act` threw.
    bool end();
    /// What a program asks of xenstored.
    enum class Asks { reads, writes };
    /// Answers instead of xenstored: `judge` returns the name of an error ("ENOSPC"), or nullptr: xenstored answers.
    void answer_by(std::function<const char*(Asks)> judge);
    /// How many messages were answered so.
    unsigned refused();

    /// Messages since the last before_message(), or the beginning.
    unsigned messages();

  private:
    struct Client;

    std::string path() const { return directory_.path("socket"); }
    void run();
    void forward(const Client& client);
    void count();
    const char* judge(std::uint32_t type);

    testing::TemporaryDirectory directory_;
    UniqueFd listener_;
    UniqueFd ending_;
    std::mutex mutex_;
    unsigned messages_ = 0;
    unsigned when_ = 0;  ///< 0: never
    std::function<void()> act_;
    std::function<const char*(Asks)> judge_;
    unsigned refused_ = 0;
    bool happened_ = false;
    std::exception_ptr error_;
    std::thread thread_;
};

}  // namespace blktap::control_test
