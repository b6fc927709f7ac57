// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Comparison: drives an image with random mixed requests and compares it with the model disk. Many requests are under
// way at once, and none overlaps another, which the engine's range guard guarantees. BLKTAP_SEED=n replays one run.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <list>
#include <random>

#include "drivers/raw/discard.hpp"
#include "libblktap/base/mapping.hpp"
#include "tests/support/images/driver_harness.hpp"
#include "tests/support/model_disk.hpp"

namespace blktap::testing {

inline constexpr std::uint64_t comparison_sectors = 8192;  // 4 MiB: small, so that requests meet each other's traces
inline constexpr std::uint64_t request_sectors_max = 256 * sectors_per_page;
inline constexpr int steps_default = 2000;
inline constexpr std::size_t in_flight_max = 64;

inline std::uint64_t seed_of_this_run() {
    const char* const given = std::getenv("BLKTAP_SEED");
    const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    std::cout << "BLKTAP_SEED=" << seed << std::endl;
    return seed;
}

/// Drives one driver with random requests and compares what it reads with the model.
class Comparison {
  public:
    /// `model` is what the driver's disk holds now, and in the end.
    Comparison(DriverHarness& harness, ImageDriver& driver, ModelDisk& model, std::uint64_t seed)
        : harness_(harness), driver_(driver), random_(seed), model_(model), stamp_((seed & 0xffff) << 16) {}

    void without_discard() { discards_ = false; }
    void run(int steps = steps_default) {
        for (int step = 0; step < steps; ++step) {
            if (in_flight_.size() >= in_flight_max || (!in_flight_.empty() && chance(8))) finish_one();
            start_one();
        }
        while (!in_flight_.empty())
            finish_one();
        check_whole_disk();
    }

  private:
    using Kind = ImageRequest::Kind;
    /// A request, its memory, and the blocks that it may touch.
    struct Entry {
        Entry(Kind kind, SectorRange range, SectorRange its_blocks, std::size_t misalignment)
            : memory(Mapping::anonymous(range.length_bytes() + 2 * page_size_bytes)),
              bytes(memory.bytes().subspan(misalignment, has_data(kind) ? range.length_bytes() : 0)),
              blocks(its_blocks),
              request(kind, range) {}
        static bool has_data(Kind kind) { return kind == Kind::read || kind == Kind::write; }
        Mapping memory;
        std::span<std::byte> bytes;
        SectorRange blocks;
        TestRequest request;
    };

    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
    bool chance(std::uint64_t one_in) { return below(one_in) == 0; }

    Kind random_kind() {
        const std::uint64_t draw = below(20);
        if (draw == 0) return Kind::flush;
        if (draw == 1 && discards_ && driver_.info().discard) return Kind::discard;
        if (draw == 2 && driver_.info().write_zeroes) return Kind::write_zeroes;
        return draw < 11 ? Kind::write : Kind::read;
    }
    SectorRange random_range() {
        const std::uint64_t count = 1 + below(chance(10) ? request_sectors_max : 40);
        const std::uint64_t first = below(comparison_sectors - count + 1);
        if (!chance(3)) return {first, count};
        const std::uint64_t aligned = round_down(first, sectors_per_page);
        return {aligned, std::min(round_up(count, sectors_per_page), comparison_sectors - aligned)};
    }
    /// What a read-modify-write of `range` touches.
    SectorRange blocks_of(SectorRange range) const {
        const std::uint64_t block = driver_.info().write_alignment_bytes / sector_size_bytes;
        const std::uint64_t first = round_down(range.first, block);
        return {first, round_up(range.end(), block) - first};
    }
    bool collides(SectorRange blocks) const {
        return std::any_of(in_flight_.begin(), in_flight_.end(),
                           [&](const Entry& entry) { return entry.blocks.overlaps(blocks); });
    }
    /// Cuts the memory into segments of whole sectors.
    std::vector<iovec> random_segments(std::span<std::byte> bytes) {
        std::vector<iovec> segments;
        while (!bytes.empty()) {
            const std::size_t wanted = chance(2) ? page_size_bytes : sector_size_bytes * (1 + below(16));
            const std::size_t length = segments.size() == 255 ? bytes.size() : std::min(wanted, bytes.size());
            segments.push_back({bytes.data(), length});
            bytes = bytes.subspan(length);
        }
        return segments;
    }

    void start_one() {
        const Kind kind = random_kind();
        const SectorRange range = kind == Kind::flush ? SectorRange{} : random_range();
        const SectorRange blocks = kind == Kind::flush ? SectorRange{} : blocks_of(range);
        if (kind != Kind::flush && collides(blocks)) return;
        const std::size_t misalignment = chance(4) ? 1 + below(page_size_bytes) : 0;
        Entry& entry = in_flight_.emplace_back(kind, range, blocks, misalignment);
        entry.request.segments = random_segments(entry.bytes);
        entry.request.data = entry.request.segments;
        if (kind == Kind::write) {
            ModelDisk::fill(range, ++stamp_, entry.bytes);
            model_.write(range, stamp_);
        }
        if (kind == Kind::write_zeroes) {
            entry.request.may_unmap = chance(2);
            model_.zero(range);
        }
        if (kind == Kind::discard) {
            const ImageInfo& info = driver_.info();
            model_.zero(whole_granules(range, info.discard_granularity_bytes, info.discard_alignment_bytes));
        }
        entry.request.start_on(driver_);
    }
    void finish_one() {
        const auto entry = std::next(in_flight_.begin(), static_cast<std::ptrdiff_t>(below(in_flight_.size())));
        harness_.finish(entry->request);
        CAPTURE(static_cast<int>(entry->request.kind), entry->request.range.first, entry->request.range.count);
        REQUIRE_FALSE(entry->request.error);
        if (entry->request.kind == Kind::read) {
            REQUIRE_FALSE(model_.first_difference(entry->request.range, entry->bytes).has_value());
        }
        in_flight_.erase(entry);
    }
    void check_whole_disk() {
        const Mapping memory = Mapping::anonymous(comparison_sectors * sector_size_bytes);
        REQUIRE_FALSE(harness_.read(driver_, {0, comparison_sectors}, memory.bytes()));
        REQUIRE_FALSE(model_.first_difference({0, comparison_sectors}, memory.bytes()).has_value());
    }

    DriverHarness& harness_;
    ImageDriver& driver_;
    std::mt19937_64 random_;
    ModelDisk& model_;
    std::list<Entry> in_flight_;
    std::uint64_t stamp_;
    bool discards_ = true;
};

/// Three lives of an image, 700 requests each: `image` is a spec, and `after` is called with each life's end.
template <class After>
void compare_lives(const std::string& image, ModelDisk& model, std::uint64_t seed, bool discards, After after) {
    for (std::uint64_t life = 0; life < 3; ++life) {
        {
            DriverHarness harness;
            const auto driver = harness.open(image);
            Comparison comparison{harness, *driver, model, seed + life};
            if (!discards) comparison.without_discard();
            comparison.run(700);
            CHECK_FALSE(harness.flush(*driver));
        }
        after();
    }
}

}  // namespace blktap::testing
