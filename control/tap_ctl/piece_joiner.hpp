// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// PieceJoiner: joins neighbouring pieces of a disk that are stored in the same way. A format's tools find the contents
// table by table, but a person or a copying program wants one piece: an empty disk of terabytes is one.
//
// Tested by tests/unit/control/piece_joiner_test.cpp.
#pragma once

#include <string>

#include "drivers/formats/tools.hpp"

namespace blktap::tap_ctl {

class PieceJoiner {
  public:
    explicit PieceJoiner(PieceVisitor visit) noexcept : visit_(std::move(visit)) {}

    /// Adds the disk's next piece, which begins where the previous one ends.
    void add(const DiskPiece& piece);
    /// Passes on the last piece.
    void finish();

  private:
    bool continues(const DiskPiece& next) const noexcept;

    const PieceVisitor visit_;
    DiskPiece piece_{};   ///< length 0: none yet
    std::string file_{};  ///< the piece's file; the tools' own text lives only until the next piece
};

}  // namespace blktap::tap_ctl
