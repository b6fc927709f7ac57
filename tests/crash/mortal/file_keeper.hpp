// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// FileKeeper: opens the files of a mortal tapdisk's image as tapback's storage process does: a successor gets a file
// when the I/O of the dead tapdisk is over.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "control/tapback/storage/held_files.hpp"
#include "libblktap/ipc/messages.hpp"

namespace blktap::testing {

/// The name of this fault, for tests.
inline constexpr const char* careless_fault = "token-not-awaited";

class FileKeeper {
  public:
    /// Files are below `directory`. `careless`: a successor gets the same open file again, at once; with this fault
    /// tests show that they would notice.
    FileKeeper(const std::string& directory, bool careless);

    /// For the process `tapdisk`. Errors: throws std::system_error.
    UniqueFd open(const ipc::OpenFileArguments& file, pid_t tapdisk);
    /// How often a file was given only after a dead tapdisk's I/O was over.
    unsigned waited() const noexcept { return waited_; }

  private:
    struct Opened {
        std::string path;
        UniqueFd fd;
    };

    const bool careless_;
    unsigned waited_ = 0;
    bool waiting_ = false;  ///< in open()
    tapback::HeldFiles files_;
    std::vector<Opened> opened_{};  ///< careless
};

}  // namespace blktap::testing
