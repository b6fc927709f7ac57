// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// `ring-replay record`: has a tapdisk write a trace of its guest's requests. A second control connection beside the
// guest's.
#pragma once

#include <string>

#include "libblktap/base/clock.hpp"
#include "tests/replay/failure.hpp"

namespace blktap::replay {

struct RecordOptions {
    std::string tapdisk;      ///< its control socket
    std::string output;       ///< the trace file; replaced
    Nanoseconds duration{0};  ///< 0: until interrupted
    int interrupt_fd = -1;
};

/// Errors: throws BackendGone, std::runtime_error with the tapdisk's reason, std::system_error for the file.
Exit run_record(const RecordOptions& options);

}  // namespace blktap::replay
