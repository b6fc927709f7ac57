// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// PieceJoiner: a format's tools find a disk's contents table by table; a person, or a program that copies them, wants
// one piece for what is stored in one way. An empty disk of terabytes is one.
//
// Tested by tests/unit/control/piece_joiner_test.cpp.
#pragma once

#include <string>

#include "drivers/formats/tools.hpp"

namespace blktap::tap_ctl {

class PieceJoiner {
  public:
    explicit PieceJoiner(PieceVisitor visit) noexcept : visit_(std::move(visit)) {}

    /// The next piece of the disk: it begins where the one before ends.
    void add(const DiskPiece& piece);
    /// There are no more.
    void finish();

  private:
    bool continues(const DiskPiece& next) const noexcept;

    const PieceVisitor visit_;
    DiskPiece piece_{};   ///< of no length: none yet
    std::string file_{};  ///< of that piece, whose format's tools name it only until the next one
};

}  // namespace blktap::tap_ctl
