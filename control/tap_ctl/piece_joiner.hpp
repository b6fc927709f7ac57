// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// PieceJoiner: a format's driver finds a disk's contents table by table; a person, or a program that copies them, wants
// one piece for what is stored in one way. An empty disk of terabytes is one.
//
// Tested by tests/unit/control/piece_joiner_test.cpp.
#pragma once

#include "control/tap_ctl/inspected_format.hpp"

namespace blktap {

class PieceJoiner {
  public:
    /// Lifetime: `visit` outlives this, and so does what the names of files in the pieces point to.
    explicit PieceJoiner(const PieceVisitor& visit) noexcept : visit_(visit) {}

    /// The next piece of the disk: it begins where the one before ends.
    void add(const DiskPiece& piece);
    /// There are no more.
    void finish();

  private:
    bool continues(const DiskPiece& next) const noexcept;

    const PieceVisitor& visit_;
    DiskPiece piece_{};  ///< of no length: none yet
};

}  // namespace blktap
