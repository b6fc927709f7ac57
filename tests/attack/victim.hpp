// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Victim: the tapdisk that ships, as a process of its own, under attack by a guest. It must live, answer its
// controller, and cost no more than its disk may.
#pragma once

#include <string>

#include "libblktap/ipc/channel.hpp"
#include "tests/fakexen/control.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace blktap::attack {

/// What was found wrong. Thrown.
struct Finding : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct VictimOptions {
    std::string program;         ///< tapdisk, or one with a planted fault
    std::string format = "raw";  ///< of its image
    std::uint64_t size_bytes = 16u << 20;
};

class Victim {
  public:
    /// Starts it with a new image. Errors: throws Finding: it does not start.
    Victim(const fakexen::World& world, const VictimOptions& options);

    /// A request of its controller, with its reply, which may be an error. Errors: throws Finding: it has ended, or
    /// does not answer within 20 s.
    ipc::Reply call(const std::string& request, const ipc::Json& arguments = ipc::Json::object(),
                    const std::vector<int>& descriptors = {});
    /// The connection of another client. Errors: throws Finding.
    ipc::Channel new_client() const;
    /// Checks that it lives, and costs what it may. Errors: throws Finding.
    void check();
    /// Checks that nothing of a guest is left in it. Errors: throws Finding.
    void check_nothing_left() const;
    /// Asks it to end, and checks that it does so in order, and that its image is whole. Errors: throws Finding.
    void end();
    /// How it has ended; empty: it lives.
    std::string death();

  private:
    const fakexen::World& world_;
    const std::uint64_t size_bytes_;
    testing::TemporaryDirectory directory_;
    std::string socket_;
    std::string image_;
    testing::Process process_;
    std::optional<ipc::Channel> channel_;
    std::size_t usual_descriptors_ = 0;
    std::uintmax_t log_bytes_ = 0;
};

}  // namespace blktap::attack
