// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/shared/bounce_buffer.hpp"

#include <algorithm>
#include <bit>

#include "drivers/shared/blocking_io.hpp"
#include "drivers/shared/iovec_cursor.hpp"
#include "libblktap/base/assert.hpp"

namespace blktap {

/// Whole blocks of the file that fit the buffer, [begin, end), and the requested part of them. All in bytes.
struct BounceBuffer::Piece {
    std::uint64_t begin;
    std::uint64_t end;
    std::uint64_t asked_begin;
    std::uint64_t asked_end;
    std::span<std::byte> blocks;  ///< the buffer's copy of [begin, end)

    std::span<std::byte> asked() const noexcept { return blocks.subspan(asked_begin - begin, asked_end - asked_begin); }
};

BounceBuffer::BounceBuffer(std::uint32_t block_size_bytes)
    : block_size_bytes_(block_size_bytes), memory_(Mapping::anonymous(size_bytes)) {
    BLKTAP_ASSERT(std::has_single_bit(block_size_bytes) && block_size_bytes <= storage_block_max_bytes);
}

template <class Transfer>
std::error_code BounceBuffer::for_each_piece(SectorRange range, Transfer transfer) noexcept {
    const std::lock_guard lock{mutex_};
    const std::uint64_t first = range.offset_bytes();
    const std::uint64_t last = first + range.length_bytes();
    const std::uint64_t blocks_end = round_up(last, block_size_bytes_);
    for (std::uint64_t begin = round_down(first, block_size_bytes_); begin < blocks_end; begin += size_bytes) {
        const std::uint64_t end = std::min<std::uint64_t>(begin + size_bytes, blocks_end);
        const Piece piece{begin, end, std::max(begin, first), std::min(end, last), memory_.bytes().first(end - begin)};
        if (const std::error_code error = transfer(piece)) return error;
    }
    return {};
}

std::error_code BounceBuffer::read(int fd, SectorRange range, std::span<const iovec> data,
                                   std::uint64_t file_end) noexcept {
    IovecCursor cursor{data};
    return for_each_piece(range, [&](const Piece& piece) -> std::error_code {
        // The file may end inside the last block, behind the requested part.
        const std::uint64_t end = std::min(file_end, piece.asked_end);
        if (const std::error_code error = read_to_end(fd, piece.blocks, piece.begin, end)) return error;
        cursor.copy_from(piece.asked());
        return {};
    });
}

std::error_code BounceBuffer::write(int fd, SectorRange range, std::span<const iovec> data) noexcept {
    IovecCursor cursor{data};
    return for_each_piece(range, [&](const Piece& piece) -> std::error_code {
        if (const std::error_code error = load_uncovered_blocks(fd, piece)) return error;
        cursor.copy_to(piece.asked());
        return write_at(fd, piece.blocks, piece.begin);
    });
}

std::error_code BounceBuffer::write_zeros(int fd, SectorRange range, bool may_unmap) noexcept {
    const auto write_part = [&](std::uint64_t begin, std::uint64_t end) noexcept -> std::error_code {
        if (begin == end) return {};
        const SectorRange part{begin / sector_size_bytes, (end - begin) / sector_size_bytes};
        return for_each_piece(part, [&](const Piece& piece) -> std::error_code {
            if (const std::error_code error = load_uncovered_blocks(fd, piece)) return error;
            std::ranges::fill(piece.asked(), std::byte{0});
            return write_at(fd, piece.blocks, piece.begin);
        });
    };
    const std::uint64_t begin = range.offset_bytes();
    const std::uint64_t end = begin + range.length_bytes();
    const std::uint64_t whole = std::min(end, round_up(begin, block_size_bytes_));
    const std::uint64_t whole_end = std::max(whole, round_down(end, block_size_bytes_));
    const bool zeroed =
        whole < whole_end && ((may_unmap && !zero_and_free(fd, whole, whole_end)) || !zero_range(fd, whole, whole_end));
    if (!zeroed) return write_part(begin, end);
    if (const std::error_code error = write_part(begin, whole)) return error;
    return write_part(whole_end, end);
}

/// Reads the first and the last block of `piece` if the request covers them only in part.
std::error_code BounceBuffer::load_uncovered_blocks(int fd, const Piece& piece) noexcept {
    const std::uint64_t last_block = piece.end - block_size_bytes_;
    const bool first_uncovered = piece.begin < piece.asked_begin;
    const bool last_uncovered = piece.asked_end < piece.end;
    if (first_uncovered) {
        if (const std::error_code error = load_block(fd, piece, piece.begin)) return error;
    }
    if (!last_uncovered || (first_uncovered && last_block == piece.begin)) return {};
    return load_block(fd, piece, last_block);
}

std::error_code BounceBuffer::load_block(int fd, const Piece& piece, std::uint64_t offset_bytes) noexcept {
    const auto block = piece.blocks.subspan(offset_bytes - piece.begin, block_size_bytes_);
    const auto count = read_at(fd, block, offset_bytes);
    if (!count) return count.error();
    return count.value() == block.size() ? std::error_code{} : Errc::unexpected_end_of_file;
}

}  // namespace blktap
