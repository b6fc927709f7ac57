// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/decompressor.hpp"

#include <algorithm>
#include <memory>
#include <zlib.h>
#include <zstd.h>

#include "drivers/shared/blocking_io.hpp"
#include "drivers/shared/bounce_buffer.hpp"
#include "drivers/shared/iovec_cursor.hpp"
#include "libblktap/base/error.hpp"

namespace blktap::qcow2 {
namespace {

constexpr int raw_deflate = -15;     // no zlib header; any window
constexpr int zstd_window_log = 23;  // 8 MiB: four of the largest clusters

}  // namespace

bool inflate_cluster(std::span<const std::byte> in, std::span<std::byte> out) noexcept {
    z_stream stream{};
    if (::inflateInit2(&stream, raw_deflate) != Z_OK) return false;
    // zlib's pointer is not const, but zlib does not write to it.
    stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(in.data()));
    stream.avail_in = static_cast<uInt>(in.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    ::inflate(&stream, Z_FINISH);
    ::inflateEnd(&stream);
    return stream.avail_out == 0;
}

bool unzstd_cluster(std::span<const std::byte> in, std::span<std::byte> out) noexcept {
    const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context{::ZSTD_createDCtx(), &ZSTD_freeDCtx};
    if (!context) return false;
    ::ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, zstd_window_log);
    ZSTD_inBuffer from{in.data(), in.size(), 0};
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    while (to.pos < to.size) {
        const std::size_t before = from.pos + to.pos;
        if (::ZSTD_isError(::ZSTD_decompressStream(context.get(), &to, &from)) != 0U) return false;
        if (from.pos + to.pos == before) return false;
    }
    return true;
}

namespace {

/// An entry can cover twice a cluster, from any byte on.
std::uint64_t compressed_bytes_max(std::uint64_t cluster_bytes) noexcept {
    return 2 * cluster_bytes + 2 * std::uint64_t{storage_block_max_bytes};
}

}  // namespace

std::uint64_t Decompressor::memory_bytes(std::uint64_t cluster_bytes) noexcept {
    return compressed_bytes_max(cluster_bytes) + cluster_bytes;
}

Decompressor::Decompressor(std::uint64_t cluster_bytes)
    : compressed_(Mapping::anonymous(compressed_bytes_max(cluster_bytes))),
      cluster_(Mapping::anonymous(cluster_bytes)) {}

std::error_code Decompressor::fill(const Layer& layer, const Extent& extent) noexcept {
    held_fd_ = -1;
    const std::uint64_t begin = round_down(extent.host_offset, layer.offset_alignment);
    const std::uint64_t end = round_up(extent.host_offset + extent.compressed_bytes, layer.offset_alignment);
    const auto count = read_at(layer.fd.get(), compressed_.bytes().first(end - begin), begin);
    if (!count) return count.error();
    // The entry of the last compressed cluster may extend beyond the end of the file.
    const std::uint64_t skip = extent.host_offset - begin;
    if (begin + count.value() < std::min(layer.file_end, extent.host_offset + extent.compressed_bytes))
        return Errc::unexpected_end_of_file;
    if (count.value() <= skip) return Errc::image_invalid;
    const auto in =
        compressed_.bytes().subspan(skip).first(std::min<std::uint64_t>(count.value() - skip, extent.compressed_bytes));
    const auto out = cluster_.bytes().first(layer.cluster_bytes());
    const bool deflate = layer.header.compression == Compression::deflate;
    if (!(deflate ? inflate_cluster(in, out) : unzstd_cluster(in, out))) return Errc::image_invalid;
    held_fd_ = layer.fd.get();
    held_offset_ = extent.host_offset;
    return {};
}

std::error_code Decompressor::read(const Layer& layer, const Extent& extent, std::span<const iovec> data) noexcept {
    const std::lock_guard lock{mutex_};
    if (held_fd_ != layer.fd.get() || held_offset_ != extent.host_offset) {
        if (const std::error_code error = fill(layer, extent)) return error;
    }
    IovecCursor{data}.copy_from(cluster_.bytes().subspan(extent.skip, extent.length));
    return {};
}

}  // namespace blktap::qcow2
