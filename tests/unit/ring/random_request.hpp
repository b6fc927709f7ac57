// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Random requests of a guest: mostly valid, rarely broken in one or two fields, so that a random run reaches the last
// check as well as the first.
#pragma once

#include <algorithm>

#include "libblktap/ring/judge.hpp"
#include "tests/unit/ring/seeded_random.hpp"

namespace blktap::test {

inline ring::Segment random_segment(SeededRandom& random) {
    const auto first = random.between<std::uint8_t>(0, 7);
    ring::Segment segment{random.any<std::uint32_t>(), first, random.between<std::uint8_t>(first, 7), 0};
    if (random.one_in(1000)) segment.first_sector = random.any<std::uint8_t>();
    if (random.one_in(1000)) segment.last_sector = random.any<std::uint8_t>();
    return segment;
}

inline std::uint64_t random_sector_number(SeededRandom& random, std::uint64_t size_sectors) {
    switch (random.between(0u, 9u)) {
        case 0:
            return random.any<std::uint64_t>();
        case 1:
            return std::uint64_t{0} - random.between<std::uint64_t>(0, 100);  // wraps soon
        case 2:
            return size_sectors - std::min(size_sectors, random.between<std::uint64_t>(0, 100));  // at the end
        default:
            return random.between<std::uint64_t>(0, size_sectors);
    }
}

/// A request with the fields that its operation has; the others are zero, as copy_request() leaves them.
inline ring::RawRequest random_request(SeededRandom& random, std::uint64_t size_sectors) {
    ring::RawRequest request{};
    request.operation = random.one_in(20) ? random.any<std::uint8_t>() : random.between<std::uint8_t>(0, 6);
    request.id = random.any<std::uint64_t>();
    request.handle = random.any<std::uint16_t>();
    request.sector_number = random_sector_number(random, size_sectors);
    if (request.indirect()) {
        request.indirect_operation =
            random.one_in(10) ? random.any<std::uint8_t>() : random.between<std::uint8_t>(0, 1);
        request.segment_count = random.one_in(10) ? random.any<std::uint16_t>() : random.between<std::uint16_t>(1, 256);
        request.indirect_refs = {};
        for (auto& ref : request.indirect_refs)
            ref = random.any<std::uint32_t>();
    } else if (request.operation == static_cast<std::uint8_t>(ring::Operation::discard)) {
        request.discard_flag = random.one_in(10) ? random.any<std::uint8_t>() : std::uint8_t{0};
        request.discard_sectors =
            random.one_in(4) ? random.any<std::uint64_t>() : random.between<std::uint64_t>(0, 100);
    } else {
        request.segment_count = random.one_in(10) ? random.any<std::uint8_t>() : random.between<std::uint8_t>(0, 11);
        for (auto& segment : request.segments)
            segment = random_segment(random);
    }
    return request;
}

}  // namespace blktap::test
