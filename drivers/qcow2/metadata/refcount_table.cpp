// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/metadata/refcount_table.hpp"

#include <utility>

#include "drivers/shared/bytes.hpp"

namespace blktap::qcow2 {

RefcountTable::RefcountTable(std::uint64_t offset, std::vector<std::uint64_t> entries, std::uint64_t piece_bytes)
    : offset_(offset),
      entries_(std::move(entries)),
      states_(entries_.size(), State::on_disk),
      piece_bytes_(piece_bytes) {}

void RefcountTable::move(std::uint64_t offset, std::uint64_t entries) {
    offset_ = offset;
    entries_.resize(entries);
    states_.resize(entries, State::on_disk);
}

void RefcountTable::add(std::uint64_t block, std::uint64_t offset) noexcept {
    entries_[block] = offset;
    states_[block] = State::fresh;
    ++new_blocks_;
}

/// Marks the entries in [first, end) of new blocks before `file_end` as being written; returns whether there are any.
bool RefcountTable::begin_entries(std::uint64_t first, std::uint64_t end, std::uint64_t file_end) noexcept {
    bool some = false;
    for (std::uint64_t block = first; block < end; ++block) {
        if (states_[block] != State::fresh || entries_[block] >= file_end) continue;
        states_[block] = State::being_written;
        some = true;
    }
    return some;
}

void RefcountTable::end_write(bool successful) noexcept {
    if (new_blocks_ == 0) return;
    for (State& state : states_) {
        if (state != State::being_written) continue;
        state = successful ? State::on_disk : State::fresh;
        if (successful) --new_blocks_;
    }
}

void RefcountTable::encode_piece(std::uint64_t piece, std::span<std::byte> out) const noexcept {
    const std::uint64_t first = piece * (piece_bytes_ / 8);
    for (std::uint64_t i = 0; i < piece_bytes_ / 8; ++i) {
        const std::uint64_t block = first + i;
        const bool named = block < entries_.size() && states_[block] != State::fresh;
        store<std::uint64_t>(out, i * 8, named ? entries_[block] : 0);
    }
}

}  // namespace blktap::qcow2
