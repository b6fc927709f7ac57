// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/image.hpp"

#include <algorithm>
#include <utility>

namespace blktap::qcow2 {
namespace {

std::uint64_t largest_cluster(const Chain& chain) noexcept {
    std::uint64_t largest = 0;
    for (const Layer& layer : chain) {
        if (!layer.raw) largest = std::max(largest, layer.cluster_bytes());
    }
    return largest;
}

}  // namespace

std::uint64_t Image::memory_bytes(const Chain& chain, std::uint64_t cache_bytes) noexcept {
    return SliceCache::memory_bytes(cache_bytes) + Decompressor::memory_bytes(largest_cluster(chain));
}

Image::Image(OpenedImage opened, const DriverContext& context, std::uint64_t cache_bytes)
    : ImageIo(context, cache_bytes), opened_(std::move(opened)), decompressor_(largest_cluster(opened_.chain)) {
    for (Layer& layer : opened_.chain)
        add(layer);
}

std::error_code Image::decompress(const Extent& extent, std::span<const iovec> data) noexcept {
    return decompressor_.read(opened_.chain[extent.layer], extent, data);
}

}  // namespace blktap::qcow2
