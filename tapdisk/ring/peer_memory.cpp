// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/ring/peer_memory.hpp"

#include <cstring>

namespace blktap {

std::error_code PeerMemory::copy(std::span<xen::CopySegment> pieces) noexcept {
    if (!is_local()) return table_->copy(pieces);
    for (xen::CopySegment& piece : pieces)
        copy_local(piece);
    return {};
}

/// Copies a piece with the hypervisor's checks: it must lie within one page, and the page must exist.
void PeerMemory::copy_local(xen::CopySegment& piece) const noexcept {
    const bool from_peer = (piece.flags & GNTCOPY_source_gref) != 0;
    const auto& foreign = from_peer ? piece.source.foreign : piece.dest.foreign;
    if (foreign.ref >= local_.size() / page_size_bytes || foreign.offset + piece.len > page_size_bytes) {
        piece.status = GNTST_bad_gntref;
        return;
    }
    std::byte* const theirs = local_.data() + foreign.ref * page_size_bytes + foreign.offset;
    if (from_peer) {
        std::memcpy(piece.dest.virt, theirs, piece.len);
    } else {
        std::memcpy(theirs, piece.source.virt, piece.len);
    }
    piece.status = GNTST_okay;
}

}  // namespace blktap
