// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Every driver agrees with the model disk under random mixed requests, many under way at once and none overlapping
// another, as the engine's range guard sees to it. BLKTAP_SEED=n replays one run.
#include <cstdlib>
#include <iostream>
#include <list>
#include <random>

#include "drivers/raw/discard.hpp"
#include "drivers/raw/raw_driver.hpp"
#include "tests/support/driver_harness.hpp"
#include "tests/support/loop_device.hpp"
#include "tests/support/model_disk.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace blktap;
using namespace blktap::testing;
using Kind = ImageRequest::Kind;

namespace {

constexpr std::uint64_t disk_sectors = 8192;  // 4 MiB: small, so that requests meet each other's traces
constexpr std::uint64_t request_sectors_max = 256 * sectors_per_page;
constexpr int steps = 2000;
constexpr std::size_t in_flight_max = 64;

std::uint64_t seed_of_this_run() {
    const char* const given = std::getenv("BLKTAP_SEED");
    const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    std::cout << "BLKTAP_SEED=" << seed << std::endl;
    return seed;
}

/// Drives one driver with random requests and compares what it reads with the model.
class Comparison {
  public:
    Comparison(DriverHarness& harness, ImageDriver& driver, std::uint64_t seed)
        : harness_(harness), driver_(driver), random_(seed) {}

    void run() {
        for (int step = 0; step < steps; ++step) {
            if (in_flight_.size() >= in_flight_max || (!in_flight_.empty() && chance(8))) finish_one();
            start_one();
        }
        while (!in_flight_.empty())
            finish_one();
        check_whole_disk();
    }

  private:
    /// A request, its memory, and the blocks that it may touch.
    struct Entry {
        Entry(Kind kind, SectorRange range, SectorRange its_blocks, std::size_t misalignment)
            : memory(Mapping::anonymous(range.length_bytes() + 2 * page_size_bytes)),
              bytes(memory.bytes().subspan(misalignment, kind == Kind::discard ? 0 : range.length_bytes())),
              blocks(its_blocks),
              request(kind, range) {}
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
        if (draw == 1 && driver_.info().discard) return Kind::discard;
        return draw < 11 ? Kind::write : Kind::read;
    }
    SectorRange random_range() {
        const std::uint64_t count = 1 + below(chance(10) ? request_sectors_max : 40);
        const std::uint64_t first = below(disk_sectors - count + 1);
        if (!chance(3)) return {first, count};
        const std::uint64_t aligned = round_down(first, sectors_per_page);
        return {aligned, std::min(round_up(count, sectors_per_page), disk_sectors - aligned)};
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
        if (kind == Kind::discard) {
            const ImageInfo& info = driver_.info();
            model_.zero(whole_granules(range, info.discard_granularity_bytes, info.discard_alignment_bytes));
        }
        driver_.start(entry.request);
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
        const Mapping memory = Mapping::anonymous(disk_sectors * sector_size_bytes);
        REQUIRE_FALSE(harness_.read(driver_, {0, disk_sectors}, memory.bytes()));
        REQUIRE_FALSE(model_.first_difference({0, disk_sectors}, memory.bytes()).has_value());
    }

    DriverHarness& harness_;
    ImageDriver& driver_;
    std::mt19937_64 random_;
    ModelDisk model_{disk_sectors};
    std::list<Entry> in_flight_;
    std::uint64_t stamp_ = 0;
};

void compare(const std::string& image) {
    DriverHarness harness;
    const auto driver = harness.open(image);
    Comparison{harness, *driver, seed_of_this_run()}.run();
    CHECK_FALSE(harness.flush(*driver));  // nothing is under way after it
}

}  // namespace

TEST_CASE("raw driver: agrees with the model on a file", "[property][drivers]") {
    const TemporaryDirectory directory;
    compare("raw:" + directory.make_file("disk", disk_sectors * 512));
}

TEST_CASE("raw driver: agrees with the model through the page cache", "[property][drivers]") {
    const TemporaryDirectory directory;
    compare("raw:" + directory.make_file("disk", disk_sectors * 512) + "?buffered=yes");
}

TEST_CASE("raw driver: agrees with the model on a file that grows", "[property][drivers]") {
    const TemporaryDirectory directory;
    compare("raw:" + directory.make_file("disk", GENERATE(0u, 4096u, 1u << 20)) + "?size=4M");
}

TEST_CASE("raw driver: agrees with the model on a file treated as having large blocks", "[property][drivers]") {
    const TemporaryDirectory directory;
    const std::string path = directory.make_file("disk", disk_sectors * 512);
    DriverHarness harness;
    RawImage image = inspect_raw_image(LocalImageOpener{}.open(path, Access::read_write, Caching::direct), path,
                                       Access::read_write, Caching::direct);
    image.info.write_alignment_bytes = GENERATE(4096U, 65536U);
    RawDriver driver{std::move(image), harness.context()};
    Comparison{harness, driver, seed_of_this_run()}.run();
}

TEST_CASE("raw driver: agrees with the model on a disk with blocks of 4096 bytes", "[property][drivers][root]") {
    if (!LoopDevice::available()) {
        WARN("needs root and loop devices");
        return;
    }
    const TemporaryDirectory directory;
    const LoopDevice device{directory.make_file("disk", disk_sectors * 512), 4096};
    compare("raw:" + device.path());
}
