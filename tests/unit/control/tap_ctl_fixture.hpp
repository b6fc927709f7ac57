// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// TapCtl: the whole of tap-ctl, run in this process against one socket.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "control/tap_ctl/command_line.hpp"
#include "libblktap/base/error.hpp"
#include "tests/unit/control/fake_tapback.hpp"

namespace blktap::testing {

class TapCtl {
  public:
    explicit TapCtl(std::string socket) : socket_(std::move(socket)) {}

    struct Result {
        int status;
        std::string out;
        std::string err;
    };
    Result run(std::vector<std::string> arguments) const {
        arguments.insert(arguments.begin(), {"tap-ctl", "--socket", socket_});
        std::vector<const char*> pointers;
        for (const std::string& argument : arguments)
            pointers.push_back(argument.c_str());
        std::ostringstream out;
        std::ostringstream err;
        const int status = tap_ctl::run_tap_ctl(static_cast<int>(pointers.size()), pointers.data(), out, err);
        return {status, out.str(), err.str()};
    }

  private:
    std::string socket_;
};

}  // namespace blktap::testing
