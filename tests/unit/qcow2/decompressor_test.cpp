// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/decompressor.hpp"

#include <algorithm>
#include <vector>
#include <zlib.h>
#include <zstd.h>

#include "tests/support/catch.hpp"

using namespace blktap::qcow2;

namespace {

std::vector<std::byte> sample(std::size_t size) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i)
        bytes[i] = static_cast<std::byte>((i / 7) ^ (i / 301));
    return bytes;
}

std::vector<std::byte> deflated(const std::vector<std::byte>& bytes) {
    z_stream stream{};
    REQUIRE(::deflateInit2(&stream, 6, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY) == Z_OK);
    std::vector<std::byte> out(bytes.size() + 1000);
    stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    REQUIRE(::deflate(&stream, Z_FINISH) == Z_STREAM_END);
    out.resize(stream.total_out);
    ::deflateEnd(&stream);
    return out;
}

std::vector<std::byte> zstd(const std::vector<std::byte>& bytes) {
    std::vector<std::byte> out(::ZSTD_compressBound(bytes.size()));
    ZSTD_CCtx* const context = ::ZSTD_createCCtx();
    ::ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, 27);
    out.resize(::ZSTD_compress2(context, out.data(), out.size(), bytes.data(), bytes.size()));
    ::ZSTD_freeCCtx(context);
    return out;
}

}  // namespace

TEST_CASE("decompressor: both kinds come back, with anything behind them", "[unit][qcow2]") {
    const auto bytes = sample(65536);
    for (const bool deflate : {true, false}) {
        auto packed = deflate ? deflated(bytes) : zstd(bytes);
        packed.resize(packed.size() + 300, std::byte{0x5a});
        std::vector<std::byte> out(bytes.size());
        CHECK((deflate ? inflate_cluster(packed, out) : unzstd_cluster(packed, out)));
        CHECK(out == bytes);
    }
}

TEST_CASE("decompressor: data that is cut off, too short or no such data is refused", "[unit][qcow2]") {
    const auto bytes = sample(65536);
    std::vector<std::byte> out(bytes.size());
    for (const bool deflate : {true, false}) {
        const auto unpack = deflate ? &inflate_cluster : &unzstd_cluster;
        auto packed = deflate ? deflated(bytes) : zstd(bytes);
        std::vector<std::byte> larger(bytes.size() + 1);
        CHECK_FALSE(unpack(packed, larger));
        packed.resize(packed.size() / 2);
        CHECK_FALSE(unpack(packed, out));
        CHECK_FALSE(unpack(std::vector<std::byte>(4096, std::byte{0xff}), out));
        CHECK_FALSE(unpack({}, out));
    }
}

TEST_CASE("decompressor: what expands further than a cluster is cut off there", "[unit][qcow2]") {
    const std::vector<std::byte> zeros(32 << 20);
    for (const bool deflate : {true, false}) {
        const auto packed = deflate ? deflated(zeros) : zstd(zeros);
        std::vector<std::byte> out(65536, std::byte{1});
        // zstd says at the beginning how much memory it wants, and is refused when that is too much.
        const bool unpacked = deflate ? inflate_cluster(packed, out) : unzstd_cluster(packed, out);
        if (unpacked) CHECK(std::ranges::all_of(out, [](std::byte byte) { return byte == std::byte{0}; }));
        CHECK(unpacked == deflate);
    }
}
