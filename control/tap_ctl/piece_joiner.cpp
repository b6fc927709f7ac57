// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tap_ctl/piece_joiner.hpp"

namespace blktap::tap_ctl {

void PieceJoiner::add(const DiskPiece& piece) {
    if (continues(piece)) {
        piece_.length += piece.length;
        return;
    }
    finish();
    piece_ = piece;
    file_ = piece.file;
    piece_.file = file_;
}

void PieceJoiner::finish() {
    if (piece_.length > 0) visit_(piece_);
    piece_.length = 0;
}

bool PieceJoiner::continues(const DiskPiece& next) const noexcept {
    if (piece_.length == 0 || next.what != piece_.what || next.file != piece_.file) return false;
    return piece_.at ? next.at == *piece_.at + piece_.length : !next.at;
}

}  // namespace blktap::tap_ctl
