// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// L2Entry: what one entry of an L2 table says of one cluster of the disk. L1 entries share the offset and the flag.
//
// Tested by tests/unit/qcow2/l2_entry_test.cpp.
#pragma once

#include <cstdint>

#include "libblktap/base/units.hpp"

namespace blktap::qcow2 {

inline constexpr std::uint64_t flag_copied = 1ULL << 63;  ///< nobody else refers to the cluster
inline constexpr std::uint64_t flag_compressed = 1ULL << 62;
inline constexpr std::uint64_t flag_zero = 1ULL << 0;  ///< reads as zeros, whatever the cluster holds; version 3
inline constexpr std::uint64_t offset_mask = 0x00fffffffffffe00;

struct L2Entry {
    enum class Kind : std::uint8_t {
        unallocated,  ///< look in the backing file
        zero,         ///< may have a cluster all the same: host_offset, if not 0
        data,
        compressed,
        invalid,
    };
    Kind kind = Kind::unallocated;
    std::uint64_t host_offset = 0;
    std::uint32_t compressed_bytes = 0;  ///< at most; the last sector's rest may belong to others

    static constexpr L2Entry decode(std::uint64_t raw, unsigned cluster_bits, std::uint32_t version) noexcept {
        if ((raw & flag_compressed) != 0) {
            const unsigned size_bits = cluster_bits - 8;
            const unsigned offset_bits = 62 - size_bits;
            const std::uint64_t offset = raw & ((1ULL << offset_bits) - 1);
            const std::uint64_t sectors = ((raw >> offset_bits) & ((1ULL << size_bits) - 1)) + 1;
            const std::uint64_t bytes = sectors * sector_size_bytes - (offset & (sector_size_bytes - 1));
            if (offset == 0 || offset > INT64_MAX - bytes) return {Kind::invalid, 0, 0};
            return {Kind::compressed, offset, static_cast<std::uint32_t>(bytes)};
        }
        const std::uint64_t offset = raw & offset_mask;
        if (!is_aligned(offset, 1ULL << cluster_bits)) return {Kind::invalid, 0, 0};
        if ((raw & flag_zero) != 0) {
            if (version < 3) return {Kind::invalid, 0, 0};
            return {Kind::zero, offset, 0};
        }
        return {offset == 0 ? Kind::unallocated : Kind::data, offset, 0};
    }
};

}  // namespace blktap::qcow2
