// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Big-endian numbers in the bytes of an image. The caller has checked that the bytes exist.
//
// Tested by tests/unit/qcow2/header_test.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <boost/endian/conversion.hpp>

#include "libblktap/base/assert.hpp"

namespace blktap {

template <class Number>
[[gnu::always_inline]] inline Number load(std::span<const std::byte> bytes, std::size_t offset) noexcept {
    BLKTAP_ASSERT(offset + sizeof(Number) <= bytes.size());
    return boost::endian::endian_load<Number, sizeof(Number), boost::endian::order::big>(
        reinterpret_cast<const unsigned char*>(bytes.data() + offset));
}

template <class Number>
void store(std::span<std::byte> bytes, std::size_t offset, Number value) noexcept {
    BLKTAP_ASSERT(offset + sizeof(Number) <= bytes.size());
    boost::endian::endian_store<Number, sizeof(Number), boost::endian::order::big>(
        reinterpret_cast<unsigned char*>(bytes.data() + offset), value);
}

}  // namespace blktap
