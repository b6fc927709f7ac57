// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Failure: the tapdisk did something wrong (a wrong answer, wrong data, none at all). Any other exception means that
// the test could not run. The two differ in ring-replay's exit status.
#pragma once

#include <stdexcept>

namespace blktap::replay {

class Failure : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// The tapdisk's end of the connection closed while we needed it.
class BackendGone : public Failure {
  public:
    using Failure::Failure;
};

/// The tapdisk has no image open: it has just been started, to be told which image, or in the place of one that died,
/// whose rings it adopts while the image is paused.
class NoImageYet : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// ring-replay's exit statuses.
enum class Exit : int { okay = 0, failed = 1, usage = 2 };

}  // namespace blktap::replay
