// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/replay/disk_model.hpp"

#include "tests/support/catch.hpp"

using namespace blktap;
using namespace blktap::replay;
using Kind = Mismatch::Kind;

namespace {

constexpr SectorRange block{16, 8};

/// A disk of 64 sectors beginning at sector 8, as a right backend would keep it.
struct Disk {
    DiskModel model{{8, 64}, 42};
    std::vector<std::byte> bytes = std::vector<std::byte>(64 * sector_size_bytes);

    std::span<std::byte> at(SectorRange range) {
        return std::span(bytes).subspan((range.first - 8) * sector_size_bytes, range.length_bytes());
    }
    void write(SectorRange range) { model.written(range, model.stamp(range, 1, at(range))); }
    std::optional<Kind> check(SectorRange range) {
        const auto mismatch = model.check(range, at(range));
        return mismatch ? std::optional(mismatch->kind) : std::nullopt;
    }
};

}  // namespace

TEST_CASE("disk model: what was written last is right", "[unit][replay]") {
    Disk disk;
    disk.write(block);
    CHECK(!disk.check(block));
    disk.write({18, 2});
    CHECK(!disk.check(block));
    CHECK(!disk.check({8, 64}));
}

TEST_CASE("disk model: anything may be where nothing was written, except stamps of this run", "[unit][replay]") {
    Disk disk;
    std::ranges::fill(disk.bytes, std::byte{0x55});
    CHECK(!disk.check({8, 64}));
    write_stamp(disk.at({30, 1}).first<sector_size_bytes>(), {0, 31, 1, 42, 1, 0});
    CHECK(disk.check({8, 64}) == Kind::misplaced);
}

TEST_CASE("disk model: an older generation is a lost write", "[unit][replay]") {
    Disk disk;
    disk.write(block);
    const std::vector<std::byte> old(disk.at(block).begin(), disk.at(block).end());
    disk.write(block);
    std::ranges::copy(old, disk.at(block).begin());
    CHECK(disk.check(block) == Kind::lost);
}

TEST_CASE("disk model: zeros are a lost write", "[unit][replay]") {
    Disk disk;
    disk.write(block);
    std::ranges::fill(disk.at(block), std::byte{0});
    CHECK(disk.check(block) == Kind::lost);
}

TEST_CASE("disk model: a write of which only some sectors are there is torn", "[unit][replay]") {
    Disk disk;
    disk.write(block);
    const std::vector<std::byte> old(disk.at(block).begin(), disk.at(block).end());
    disk.write(block);
    std::copy_n(old.begin(), 3 * sector_size_bytes, disk.at(block).begin());
    CHECK(disk.check(block) == Kind::torn);
}

TEST_CASE("disk model: another sector's data is misplaced", "[unit][replay]") {
    Disk disk;
    disk.write({16, 8});
    disk.write({24, 8});
    std::ranges::copy(disk.at({24, 8}), disk.at({16, 8}).begin());
    CHECK(disk.check({16, 8}) == Kind::misplaced);
}

TEST_CASE("disk model: data of another run, without a stamp, or damaged, is named", "[unit][replay]") {
    Disk disk;
    disk.write(block);
    SECTION("another run's") {
        write_stamp(disk.at({16, 1}).first<sector_size_bytes>(), {0, 16, 1, 43, 1, 0});
        CHECK(disk.check(block) == Kind::foreign);
    }
    SECTION("no stamp") {
        std::ranges::fill(disk.at({16, 1}), std::byte{9});
        CHECK(disk.check(block) == Kind::foreign);
    }
    SECTION("damaged") {
        disk.at({17, 1})[400] ^= std::byte{1};
        CHECK(disk.check(block) == Kind::corrupt);
    }
}

TEST_CASE("disk model: after a write that failed, old and new data are right", "[unit][replay]") {
    Disk disk;
    disk.write(block);
    const std::vector<std::byte> old(disk.at(block).begin(), disk.at(block).end());
    disk.model.stamp(block, 2, disk.at(block));
    disk.model.uncertain(block);
    CHECK(!disk.check(block));
    std::ranges::copy(old, disk.at(block).begin());
    CHECK(!disk.check(block));
    CHECK(!disk.model.known(block));
}

TEST_CASE("disk model: a mismatch names sector, expectation, finding and kind", "[unit][replay]") {
    Disk disk;
    disk.write(block);
    disk.write(block);
    std::ranges::fill(disk.at(block), std::byte{0});
    const auto mismatch = disk.model.check(block, disk.at(block));
    REQUIRE(mismatch);
    CHECK(mismatch->describe() == "sector 16: lost: expected generation 2, found zeros");
}

TEST_CASE("disk model: what must be zeros is nothing else, not even an older write", "[unit][replay]") {
    Disk disk;
    disk.model.erased({8, 64});
    CHECK(!disk.check({8, 64}));
    CHECK(disk.model.known(block));
    disk.write(block);
    CHECK(!disk.check({8, 64}));
    disk.model.erased(block);
    CHECK(disk.check(block) == Kind::foreign);
    CHECK(disk.model.check(block, disk.at(block))->describe().find("expected zeros") != std::string::npos);
}

TEST_CASE("disk model: a disk that grew reads as zeros where it is new", "[unit][replay]") {
    Disk disk;
    disk.write(block);
    disk.bytes.resize(96 * sector_size_bytes);
    disk.model.grow(96);
    CHECK(disk.model.range() == SectorRange{8, 96});
    CHECK(!disk.check({8, 96}));
    disk.bytes.back() = std::byte{1};
    CHECK(disk.check({96, 8}) == Kind::foreign);
    CHECK(!disk.check(block));
}
