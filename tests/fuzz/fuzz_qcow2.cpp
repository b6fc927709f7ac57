// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Fuzzes the qcow2 driver: the bytes are an image file, and every backing file that it names.
#include "drivers/qcow2/qcow2_driver.hpp"
#include "libblktap/base/log.hpp"
#include "tests/fuzz/image_fuzzer.hpp"

namespace {

constexpr std::size_t input_bytes_max = 1 << 20;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size > input_bytes_max) return 0;
    blktap::log::configure("fuzz_qcow2", blktap::log::Level::error, blktap::log::Sink::standard_error);
    const std::span bytes{reinterpret_cast<const std::byte*>(data), size};
    blktap::testing::ImageFuzzer{"qcow2", &blktap::qcow2::open_qcow2_image, bytes}.exercise({});
    return 0;
}
