// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Fuzzes the way from a slot to a judged request. The bytes are: the layout, the device's rules, its size in sectors (8
// bytes), the slot (112), and the descriptors that an indirect request would find; what is missing is zero. The verdict
// must be the naive oracle's, and an accepted request must stay inside the device and inside its pages.
#include <algorithm>
#include <cstring>

#include "libblktap/base/assert.hpp"
#include "tests/unit/ring/judge_oracle.hpp"

namespace blktap::ring {
namespace {

class Bytes {
  public:
    Bytes(const std::uint8_t* data, std::size_t size) : rest_(data, size) {}

    template <class T>
    T take() {
        T value{};
        const std::size_t count = std::min(sizeof(T), rest_.size());
        if (count > 0) std::memcpy(&value, rest_.data(), count);
        rest_ = rest_.subspan(count);
        return value;
    }

  private:
    std::span<const std::uint8_t> rest_;
};

struct alignas(8) Slot {
    std::byte bytes[112];
};

DeviceRules take_rules(Bytes& input) {
    const auto choice = input.take<std::uint8_t>();
    constexpr std::uint16_t indirect_choices[] = {0, 1, 32, segments_indirect_max};
    return {.size_sectors = input.take<std::uint64_t>(),
            .read_only = (choice & 1) != 0,
            .discard = (choice & 2) != 0,
            .indirect_segments_max = indirect_choices[choice >> 2 & 3]};
}

/// What was copied, written again and copied again, is the same.
void check_round_trip(const Layout& layout, const RawRequest& request) {
    Slot slot{};
    write_request(layout, slot.bytes, request);
    const RawRequest again = copy_request(layout, slot.bytes);
    BLKTAP_ASSERT(std::memcmp(&again, &request, sizeof(request)) == 0);
}

void check_descriptors(const RawRequest& request, const DeviceRules& rules, Bytes& input) {
    BLKTAP_ASSERT(request.segment_count >= 1 && request.segment_count <= segments_indirect_max);
    BLKTAP_ASSERT(indirect_page_count(request.segment_count) <= indirect_pages_max);
    std::vector<Segment> segments(request.segment_count);
    for (Segment& segment : segments)
        segment = input.take<Segment>();
    BLKTAP_ASSERT(*test::judge_indirect_disagreement(request, segments, rules) == '\0');
}

}  // namespace
}  // namespace blktap::ring

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace blktap;
    using namespace blktap::ring;
    Bytes input(data, size);
    const Layout& layout = layout_of(static_cast<Protocol>(input.take<std::uint8_t>() % 3));
    const DeviceRules rules = take_rules(input);
    const auto slot = input.take<Slot>();

    const RawRequest request = copy_request(layout, slot.bytes);
    check_round_trip(layout, request);
    BLKTAP_ASSERT(*test::judge_disagreement(request, rules) == '\0');
    const auto judged = judge(request, rules);
    if (!judged) return 0;
    BLKTAP_ASSERT(judged.value().range.fits(rules.size_sectors));
    if (judged.value().needs_descriptors) check_descriptors(request, rules, input);
    return 0;
}
