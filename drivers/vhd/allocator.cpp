// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/allocator.hpp"

#include <algorithm>

namespace blktap::vhd {
namespace {

/// Entries of the table are 32-bit sector numbers; the highest number marks an unused entry.
constexpr std::uint64_t file_bytes_max = std::uint64_t{entry_unused} * sector_size_bytes;

}  // namespace

Allocator::Allocator(const Layer& layer)
    : layer_(layer), next_(layer.file_end), reserved_(layer.header.table_entries + 1ULL) {}

Result<std::uint64_t> Allocator::reserve(std::uint64_t block) noexcept {
    if (reserved_[block] != 0) return reserved(block);
    const std::uint64_t data = round_up(next_ + layer_.bitmap_bytes(), data_alignment);
    const std::uint64_t bitmap = data - layer_.bitmap_bytes();
    if (data + layer_.block_bytes() > file_bytes_max) return std::make_error_code(std::errc::file_too_large);
    next_ = data + layer_.block_bytes();
    reserved_[block] = static_cast<std::uint32_t>(bitmap / sector_size_bytes);
    return bitmap;
}

Result<std::uint64_t> Allocator::take(std::uint64_t bytes) noexcept {
    const std::uint64_t begin = round_up(next_, data_alignment);
    if (bytes > file_bytes_max || begin > file_bytes_max - bytes) {
        return std::make_error_code(std::errc::file_too_large);
    }
    next_ = begin + round_up(bytes, data_alignment);
    return begin;
}

bool Allocator::fits(std::uint64_t blocks, std::uint64_t block_bytes, std::uint64_t described_bytes) noexcept {
    const std::uint64_t bitmap = round_up(block_bytes / sector_size_bytes / 8, data_alignment);
    const std::uint64_t room = file_bytes_max - std::min(described_bytes + data_alignment, file_bytes_max);
    return blocks <= room / (bitmap + block_bytes);
}

LazyArray<std::uint32_t> Allocator::longer(std::uint64_t entries) {
    return LazyArray<std::uint32_t>{entries + 1};
}

void Allocator::use(LazyArray<std::uint32_t> longer) noexcept {
    std::ranges::copy(reserved_.span(), longer.data());
    reserved_ = std::move(longer);
}

}  // namespace blktap::vhd
