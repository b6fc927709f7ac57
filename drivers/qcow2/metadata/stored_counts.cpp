// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/metadata/stored_counts.hpp"

#include "drivers/shared/bytes.hpp"

namespace blktap::qcow2 {

// Counts of less than a byte fill the byte from its lowest bit on.
std::uint64_t load_count(std::span<const std::byte> bytes, std::uint64_t index, unsigned order) noexcept {
    switch (order) {
        case 3:
            return load<std::uint8_t>(bytes, index);
        case 4:
            return load<std::uint16_t>(bytes, index * 2);
        case 5:
            return load<std::uint32_t>(bytes, index * 4);
        case 6:
            return load<std::uint64_t>(bytes, index * 8);
        default: {
            const unsigned bits = 1U << order;
            const unsigned shift = static_cast<unsigned>(index % (8 / bits)) * bits;
            return (load<std::uint8_t>(bytes, index / (8 / bits)) >> shift) & ((1U << bits) - 1);
        }
    }
}

void store_count(std::span<std::byte> bytes, std::uint64_t index, unsigned order, std::uint64_t count) noexcept {
    switch (order) {
        case 3:
            return store(bytes, index, static_cast<std::uint8_t>(count));
        case 4:
            return store(bytes, index * 2, static_cast<std::uint16_t>(count));
        case 5:
            return store(bytes, index * 4, static_cast<std::uint32_t>(count));
        case 6:
            return store(bytes, index * 8, count);
        default: {
            const unsigned bits = 1U << order;
            const unsigned shift = static_cast<unsigned>(index % (8 / bits)) * bits;
            bytes[index / (8 / bits)] |= static_cast<std::byte>(count << shift);
        }
    }
}

}  // namespace blktap::qcow2
