// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Xenstored: Debian's own xenstored, private to one test: another socket, another database, no hypervisor
// (tests/fakexen/README.md). One at a time: libxenstore finds it by the environment of this process, which child
// processes inherit.
//
// Tested by tests/unit/xenstore/xenstored_test.cpp.
#pragma once

#include <cstdint>
#include <string>

#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace blktap::testing {

class Xenstored {
  public:
    /// Starts xenstored, and returns when it answers. Errors: throws std::runtime_error with its output.
    Xenstored();
    Xenstored(const Xenstored&) = delete;
    Xenstored& operator=(const Xenstored&) = delete;
    /// Ends it.
    ~Xenstored();

    /// kill -9. Its clients lose their connections, and all nodes are lost.
    void kill() noexcept { process_.kill(); }
    /// Starts it again after kill(), with an empty store. Errors: as the constructor.
    void start();
    bool running() noexcept { return process_.running(); }

    // Announce a domain and its end as a toolstack does; watches of @introduceDomain and @releaseDomain fire. Errors:
    // throw std::system_error.
    void introduce(std::uint16_t domain) const;
    void release(std::uint16_t domain) const;

  private:
    TemporaryDirectory directory_;
    Process process_;
};

}  // namespace blktap::testing
