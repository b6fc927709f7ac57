// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/metadata/footer.hpp"

#include <algorithm>
#include <cstring>

#include "drivers/shared/bytes.hpp"
#include "tests/support/catch.hpp"

using namespace blktap;
using namespace blktap::vhd;

namespace {

struct Bytes {
    explicit Bytes(std::uint64_t size = 20ULL << 30) {
        std::ranges::copy(Footer::make(DiskType::dynamic, size).bytes(), bytes.begin());
    }
    Bytes& creator(const char* name) {
        std::memcpy(bytes.data() + 28, name, 4);
        return *this;
    }
    Bytes& geometry(std::uint16_t cylinders, std::uint8_t heads, std::uint8_t sectors) {
        store<std::uint16_t>(bytes, 56, cylinders);
        store<std::uint8_t>(bytes, 58, heads);
        store<std::uint8_t>(bytes, 59, sectors);
        return *this;
    }
    Footer sealed() {
        store<std::uint32_t>(bytes, 64, checksum(bytes, 64));
        const auto footer = Footer::parse(bytes);
        REQUIRE(footer.has_value());
        return *footer;
    }
    std::array<std::byte, footer_bytes> bytes{};
};

}  // namespace

TEST_CASE("vhd footer: what is made is whole, and no other has its UUID", "[unit][vhd]") {
    const Footer footer = Footer::make(DiskType::differencing, 20ULL << 30);
    CHECK(Footer::parse(footer.bytes()) == footer);
    CHECK(footer.is(DiskType::differencing));
    CHECK(footer.disk_bytes() == 20ULL << 30);
    CHECK(footer.data_offset() == footer_bytes);
    CHECK(footer.version() == 0x00010000);
    CHECK(footer.uuid() != Footer::make(DiskType::dynamic, 512).uuid());
    CHECK(to_text(footer.uuid()).size() == 36);
    CHECK(Footer::make(DiskType::fixed, 512).data_offset() == ~std::uint64_t{0});
}

TEST_CASE("vhd footer: another magic number, a wrong checksum or too few bytes are no footer", "[unit][vhd]") {
    Bytes whole;
    CHECK(Footer::parse(std::span{whole.bytes}.first(510)) == std::nullopt);
    const std::size_t changed = GENERATE(0U, 7U, 20U, 67U, 510U);
    whole.bytes[changed] ^= std::byte{1};
    CHECK(Footer::parse(whole.bytes) == std::nullopt);
}

TEST_CASE("vhd footer: one byte less, as old Virtual PCs wrote it, is the same", "[unit][vhd]") {
    Bytes whole;
    CHECK(Footer::parse(std::span{whole.bytes}.first(footer_bytes_old)) == whole.sealed());
}

TEST_CASE("vhd footer: the size is the geometry's of Virtual PC and old QEMUs only", "[unit][vhd]") {
    Bytes bytes{1ULL << 30};
    bytes.geometry(100, 16, 63);
    const std::uint64_t by_geometry = 100ULL * 16 * 63 * 512;
    CHECK(bytes.creator("vpc ").sealed().disk_bytes() == by_geometry);
    CHECK(bytes.creator("qemu").sealed().disk_bytes() == by_geometry);
    const char* const others = GENERATE("qem2", "win ", "d2v ", "tap\0", "CTXS", "????");
    CHECK(bytes.creator(others).sealed().disk_bytes() == 1ULL << 30);
}

TEST_CASE("vhd footer: behind the largest geometry the size is the field's, whoever wrote it", "[unit][vhd]") {
    Bytes bytes{200ULL << 30};
    CHECK(bytes.creator("vpc ").geometry(65535, 16, 255).sealed().disk_bytes() == 200ULL << 30);
}

TEST_CASE("vhd footer: another size is understood by everybody", "[unit][vhd]") {
    Bytes bytes{1ULL << 30};
    Footer footer = bytes.creator("vpc ").sealed();
    footer.set_disk_bytes((3ULL << 30) + 512);
    CHECK(Footer::parse(footer.bytes()) == footer);
    CHECK(footer.disk_bytes() == (3ULL << 30) + 512);
    CHECK(footer.creator() == "qem2");
    Footer tap = Bytes{1ULL << 30}.creator("tap\0").sealed();
    tap.set_disk_bytes(2ULL << 30);
    CHECK(tap.creator() == "tap");
}

TEST_CASE("vhd footer: geometries are the specification's", "[unit][vhd]") {
    CHECK(geometry_for(512) == Geometry{0, 4, 17});
    CHECK(geometry_for(10ULL << 20) == Geometry{301, 4, 17});
    CHECK(geometry_for(512ULL << 20) == Geometry{1040, 16, 63});
    CHECK(geometry_for(20ULL << 30) == Geometry{41610, 16, 63});
    CHECK(geometry_for(100ULL << 30) == Geometry{51400, 16, 255});
    CHECK(geometry_for(disk_bytes_max) == Geometry{65535, 16, 255});
}

TEST_CASE("vhd footer: what XenServer has disabled is seen", "[unit][vhd]") {
    Bytes bytes;
    CHECK_FALSE(Footer::disabled(bytes.bytes));
    std::memcpy(bytes.bytes.data(), "v_poison", 8);
    CHECK(Footer::disabled(bytes.bytes));
}
