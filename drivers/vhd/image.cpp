// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/image.hpp"

#include <algorithm>
#include <utility>

namespace blktap::vhd {
namespace {

/// Bitmaps are read in sectors, or in the largest unit of direct I/O in the chain.
std::size_t slice_bytes(const Chain& chain) noexcept {
    std::uint64_t bytes = sector_size_bytes;
    for (const Layer& layer : chain) {
        if (!layer.raw) bytes = std::max(bytes, layer.slice_bytes());
    }
    return bytes;
}

}  // namespace

std::uint64_t Image::memory_bytes(const Chain& chain, std::uint64_t cache_bytes) noexcept {
    return SliceCache::memory_bytes(cache_bytes, slice_bytes(chain));
}

Image::Image(OpenedImage opened, const DriverContext& context, std::uint64_t cache_bytes)
    : ImageIo(context, cache_bytes, slice_bytes(opened.chain)), opened_(std::move(opened)) {
    for (Layer& layer : opened_.chain)
        add(layer);
}

}  // namespace blktap::vhd
