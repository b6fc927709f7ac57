// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Fuzzes the VHD driver: the bytes are an image file, and every parent that it names. Before that their checksums are
// made right, which nobody would guess.
#include <csignal>
#include <cstring>
#include <sys/resource.h>
#include <vector>

#include "drivers/shared/bytes.hpp"
#include "drivers/vhd/vhd_driver.hpp"
#include "libblktap/base/assert.hpp"
#include "libblktap/base/log.hpp"
#include "tests/fuzz/image_fuzzer.hpp"

namespace blktap {
namespace {

constexpr std::size_t input_bytes_max = 1 << 20;

void seal(std::span<std::byte> bytes, std::size_t checksum_at, const char* magic) {
    if (std::memcmp(bytes.data(), magic, 8) != 0) return;
    store<std::uint32_t>(bytes, checksum_at, vhd::checksum(bytes, checksum_at));
}

/// The input with right checksums where footers and headers usually are.
std::vector<std::byte> sealed(const std::uint8_t* data, std::size_t size) {
    const auto* const begin = reinterpret_cast<const std::byte*>(data);
    std::vector<std::byte> bytes{begin, begin + size};
    const std::span all{bytes};
    if (size >= 2 * vhd::footer_bytes) seal(all.last(vhd::footer_bytes), 64, "conectix");
    if (size >= vhd::footer_bytes) seal(all.first(vhd::footer_bytes), 64, "conectix");
    if (size >= vhd::footer_bytes + vhd::header_bytes) {
        seal(all.subspan(vhd::footer_bytes, vhd::header_bytes), 36, "cxsparse");
    }
    return bytes;
}

/// Blocks of a hostile image may be large, and room for them is memory here.
void limit_files() {
    static const bool limited = [] {
        const rlimit limit{64ULL << 20, 64ULL << 20};
        return ::signal(SIGXFSZ, SIG_IGN) != SIG_ERR && ::setrlimit(RLIMIT_FSIZE, &limit) == 0;
    }();
    BLKTAP_ASSERT(limited);
}

}  // namespace
}  // namespace blktap

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size > blktap::input_bytes_max) return 0;
    blktap::log::configure("fuzz_vhd", blktap::log::Level::error, blktap::log::Sink::standard_error);
    blktap::limit_files();
    const auto bytes = blktap::sealed(data, size);
    blktap::testing::ImageFuzzer{"vhd", &blktap::vhd::open_vhd_image, bytes}.exercise(
        {.grows = true, .finds_overlaps = true});
    return 0;
}
