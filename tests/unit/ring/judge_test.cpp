// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Judging requests: each rule by a sentence, then everything at once against the naive oracle.
#include <limits>

#include "tests/support/catch.hpp"
#include "tests/unit/ring/judge_oracle.hpp"
#include "tests/unit/ring/random_request.hpp"

using namespace blktap;
using namespace blktap::ring;

namespace {

constexpr std::uint64_t device_sectors = 1000;
constexpr std::uint64_t highest = std::numeric_limits<std::uint64_t>::max();
constexpr DeviceRules writable{.size_sectors = device_sectors, .read_only = false, .discard = true};
constexpr DeviceRules read_only{.size_sectors = device_sectors, .read_only = true, .discard = true};

RawRequest direct(Operation operation, std::uint64_t sector, std::uint16_t segment_count) {
    RawRequest request{};
    request.operation = static_cast<std::uint8_t>(operation);
    request.sector_number = sector;
    request.segment_count = segment_count;
    for (auto& segment : request.segments)
        segment = {1, 0, 7, 0};
    return request;
}

RawRequest discard(std::uint64_t sector, std::uint64_t count, std::uint8_t flag = 0) {
    RawRequest request{};
    request.operation = static_cast<std::uint8_t>(Operation::discard);
    request.sector_number = sector;
    request.discard_sectors = count;
    request.discard_flag = flag;
    return request;
}

RawRequest indirect(std::uint8_t inner, std::uint64_t sector, std::uint16_t segment_count) {
    RawRequest request{};
    request.operation = static_cast<std::uint8_t>(Operation::indirect);
    request.indirect_operation = inner;
    request.sector_number = sector;
    request.segment_count = segment_count;
    return request;
}

RawRequest with_segment(RawRequest request, std::uint8_t first, std::uint8_t last) {
    request.segments[0] = {1, first, last, 0};
    return request;
}

std::error_code verdict(const RawRequest& request, const DeviceRules& rules = writable) {
    const auto judged = judge(request, rules);
    return judged ? std::error_code() : judged.error();
}

void agree_with_oracle(const RawRequest& request, const DeviceRules& rules) {
    const char* wrong = test::judge_disagreement(request, rules);
    if (*wrong != '\0') {
        FAIL(wrong << ": operation " << int{request.operation} << ", inner " << int{request.indirect_operation}
                   << ", sector " << request.sector_number << ", segments " << request.segment_count);
    }
}

}  // namespace

TEST_CASE("judge: a read and a write inside the device pass with the range of their segments", "[unit][ring]") {
    for (const Operation operation : {Operation::read, Operation::write}) {
        const Judged judged = judge(with_segment(direct(operation, 100, 3), 2, 4), writable).value();
        CHECK(judged.operation == operation);
        CHECK(judged.range == SectorRange{100, 3 + 8 + 8});
        CHECK(judged.segment_count == 3);
        CHECK_FALSE(judged.needs_descriptors);
    }
}

TEST_CASE("judge: an unknown operation is unsupported before anything else is looked at", "[unit][ring]") {
    RawRequest request = direct(Operation::write, highest, 255);
    for (const auto operation : std::initializer_list<std::uint8_t>{4, 7, 128, 255}) {
        request.operation = operation;
        CHECK(verdict(request, read_only) == Errc::unsupported_operation);
    }
}

TEST_CASE("judge: discard is unsupported where it is not offered, and where it asks to be secure", "[unit][ring]") {
    CHECK(verdict(discard(0, 8)) == std::error_code());
    CHECK(verdict(discard(0, 8), {.size_sectors = device_sectors}) == Errc::unsupported_operation);
    CHECK(verdict(discard(0, 8, discard_secure_flag)) == Errc::unsupported_operation);
}

TEST_CASE("judge: a discard of nothing, past the end or around 2^64 is out of range", "[unit][ring]") {
    CHECK(verdict(discard(0, device_sectors)) == std::error_code());
    CHECK(verdict(discard(5, 0)) == Errc::out_of_range);
    CHECK(verdict(discard(1, device_sectors)) == Errc::out_of_range);
    CHECK(verdict(discard(highest, 2)) == Errc::out_of_range);
    CHECK(verdict(discard(2, highest)) == Errc::out_of_range);
}

TEST_CASE("judge: a read-only disk refuses writes, barriers, discards and flushes with data",
          "[unit][ring][XSA-142][XSA-266][CVE-2013-2140]") {
    CHECK(verdict(direct(Operation::write, 0, 1), read_only) == Errc::read_only);
    CHECK(verdict(direct(Operation::write_barrier, 0, 1), read_only) == Errc::read_only);
    CHECK(verdict(direct(Operation::write_barrier, 0, 0), read_only) == Errc::read_only);
    CHECK(verdict(direct(Operation::flush_diskcache, 0, 1), read_only) == Errc::read_only);
    CHECK(verdict(discard(0, 8), read_only) == Errc::read_only);
    CHECK(verdict(indirect(1, 0, 1), read_only) == Errc::read_only);
}

TEST_CASE("judge: a read-only disk serves reads and empty flushes", "[unit][ring]") {
    CHECK(verdict(direct(Operation::read, 0, 1), read_only) == std::error_code());
    CHECK(verdict(direct(Operation::flush_diskcache, 0, 0), read_only) == std::error_code());
    CHECK(verdict(indirect(0, 0, 1), read_only) == std::error_code());
}

TEST_CASE("judge: only a flush and a barrier may have no segments", "[unit][ring]") {
    CHECK(verdict(direct(Operation::read, 0, 0)) == Errc::bad_segment_count);
    CHECK(verdict(direct(Operation::write, 0, 0)) == Errc::bad_segment_count);
    CHECK(verdict(indirect(0, 0, 0)) == Errc::bad_segment_count);
    CHECK(verdict(direct(Operation::flush_diskcache, 0, 0)) == std::error_code());
    CHECK(verdict(direct(Operation::write_barrier, 0, 0)) == std::error_code());
}

TEST_CASE("judge: an empty flush passes whatever its sector number", "[unit][ring]") {
    const Judged judged = judge(direct(Operation::flush_diskcache, highest, 0), writable).value();
    CHECK(judged.range == SectorRange{});
}

TEST_CASE("judge: a direct request of 12 segments or more is refused", "[unit][ring][XSA-513]") {
    CHECK(verdict(direct(Operation::read, 0, 11)) == std::error_code());
    for (std::uint16_t count = 12; count <= 255; ++count) {
        CHECK(verdict(direct(Operation::read, 0, count)) == Errc::bad_segment_count);
    }
}

TEST_CASE("judge: a segment that ends before it begins or outside its page is refused", "[unit][ring][XSA-513]") {
    for (unsigned first = 0; first < 256; ++first) {
        for (unsigned last = 0; last < 256; ++last) {
            const auto request = with_segment(direct(Operation::read, 0, 1), static_cast<std::uint8_t>(first),
                                              static_cast<std::uint8_t>(last));
            const bool good = first <= last && last < 8;
            if (verdict(request) != (good ? std::error_code() : make_error_code(Errc::bad_segment))) {
                FAIL(first << ".." << last);
            }
        }
    }
}

TEST_CASE("judge: the last segment is judged like the first", "[unit][ring]") {
    RawRequest request = direct(Operation::write, 0, 11);
    request.segments[10].last_sector = 8;
    CHECK(verdict(request) == Errc::bad_segment);
    request.segment_count = 10;
    CHECK(verdict(request) == std::error_code());
}

TEST_CASE("judge: a request that ends at the device's end passes, one sector more does not", "[unit][ring]") {
    CHECK(verdict(direct(Operation::write, device_sectors - 8, 1)) == std::error_code());
    CHECK(verdict(direct(Operation::write, device_sectors - 7, 1)) == Errc::out_of_range);
    CHECK(verdict(direct(Operation::read, device_sectors, 1)) == Errc::out_of_range);
    CHECK(verdict(direct(Operation::read, 0, 1), {.size_sectors = 7}) == Errc::out_of_range);
}

TEST_CASE("judge: a range that wraps around 2^64 is refused on the largest device too", "[unit][ring]") {
    const DeviceRules largest{.size_sectors = highest};
    for (std::uint64_t distance = 0; distance < 8; ++distance) {
        CHECK(verdict(direct(Operation::read, highest - distance, 1), largest) == Errc::out_of_range);
    }
    CHECK(verdict(direct(Operation::read, highest - 8, 1), largest) == std::error_code());
}

TEST_CASE("judge: an indirect request may only read or write", "[unit][ring]") {
    for (unsigned inner = 0; inner < 256; ++inner) {
        const auto request = indirect(static_cast<std::uint8_t>(inner), 0, 1);
        CHECK(verdict(request) == (inner <= 1 ? std::error_code() : make_error_code(Errc::bad_indirect)));
    }
}

TEST_CASE("judge: an indirect request has at most the segments that were offered", "[unit][ring]") {
    DeviceRules rules = writable;
    CHECK(verdict(indirect(0, 0, 256)) == std::error_code());
    CHECK(verdict(indirect(0, 0, 257)) == Errc::bad_segment_count);
    CHECK(verdict(indirect(0, 0, 65535)) == Errc::bad_segment_count);
    rules.indirect_segments_max = 32;
    CHECK(verdict(indirect(0, 0, 33), rules) == Errc::bad_segment_count);
    rules.indirect_segments_max = 0;
    CHECK(verdict(indirect(0, 0, 1), rules) == Errc::unsupported_operation);
}

TEST_CASE("judge: an indirect request gets its range from its descriptors", "[unit][ring]") {
    const RawRequest request = indirect(1, device_sectors - 24, 3);
    const Judged before = judge(request, writable).value();
    CHECK(before.needs_descriptors);
    CHECK(before.operation == Operation::write);

    std::vector<Segment> segments(3, Segment{1, 0, 7, 0});
    const Judged judged = judge_indirect(request, segments, writable).value();
    CHECK(judged.operation == Operation::write);
    CHECK(judged.range == SectorRange{device_sectors - 24, 24});
    CHECK_FALSE(judged.needs_descriptors);

    segments[2] = {1, 3, 2, 0};
    CHECK(judge_indirect(request, segments, writable).error() == Errc::bad_segment);
    segments[2] = {1, 0, 7, 0};
    DeviceRules smaller = writable;
    --smaller.size_sectors;
    CHECK(judge_indirect(request, segments, smaller).error() == Errc::out_of_range);
}

TEST_CASE("judge: 512 descriptors fill a page", "[unit][ring]") {
    CHECK(indirect_page_count(1) == 1);
    CHECK(indirect_page_count(512) == 1);
    CHECK(indirect_page_count(513) == 2);
    CHECK(indirect_page_count(segments_indirect_max) <= indirect_pages_max);
}

TEST_CASE("judge: every operation with every flag under every rule agrees with the oracle", "[unit][ring][property]") {
    for (unsigned rule_bits = 0; rule_bits < 8; ++rule_bits) {
        const DeviceRules rules{.size_sectors = device_sectors,
                                .read_only = (rule_bits & 1) != 0,
                                .discard = (rule_bits & 2) != 0,
                                .indirect_segments_max = static_cast<std::uint16_t>((rule_bits & 4) != 0 ? 256 : 0)};
        for (unsigned operation = 0; operation < 256; ++operation) {
            for (unsigned flag = 0; flag < 256; ++flag) {
                RawRequest request = direct(static_cast<Operation>(operation), 10, 1);
                request.indirect_operation = static_cast<std::uint8_t>(flag);
                request.discard_flag = static_cast<std::uint8_t>(flag);
                request.discard_sectors = 20;
                agree_with_oracle(request, rules);
            }
        }
    }
}

TEST_CASE("judge: every segment count of every operation agrees with the oracle", "[unit][ring][property]") {
    for (const auto operation : std::initializer_list<std::uint8_t>{0, 1, 2, 3, 5}) {
        for (std::uint16_t count = 0; count < 256; ++count) {
            agree_with_oracle(direct(static_cast<Operation>(operation), 10, count), writable);
            agree_with_oracle(direct(static_cast<Operation>(operation), 10, count), read_only);
        }
    }
    for (unsigned count = 0; count < 65536; ++count) {
        agree_with_oracle(indirect(count % 2, 10, static_cast<std::uint16_t>(count)), writable);
    }
}

TEST_CASE("judge: random requests agree with the oracle", "[unit][ring][property]") {
    test::SeededRandom random;
    INFO("seed " << random.seed());
    for (int round = 0; round < 100'000; ++round) {
        const DeviceRules rules{.size_sectors = random.one_in(10) ? random.any<std::uint64_t>() : device_sectors,
                                .read_only = random.one_in(4),
                                .discard = !random.one_in(4),
                                .indirect_segments_max = random.between<std::uint16_t>(0, 256)};
        const RawRequest request = test::random_request(random, rules.size_sectors);
        agree_with_oracle(request, rules);

        const auto judged = judge(request, rules);
        if (!judged || !judged.value().needs_descriptors) continue;
        std::vector<Segment> segments(request.segment_count);
        for (auto& segment : segments)
            segment = test::random_segment(random);
        const char* wrong = test::judge_indirect_disagreement(request, segments, rules);
        if (*wrong != '\0') FAIL(wrong << ": indirect, " << request.segment_count << " segments");
    }
}
