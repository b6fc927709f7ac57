// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/vhd/metadata/header.hpp"

#include "drivers/shared/bytes.hpp"
#include "libblktap/base/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/thrown.hpp"

using namespace blktap;
using namespace blktap::testing;
using namespace blktap::vhd;

namespace {

constexpr std::uint64_t disk_bytes = 1ULL << 30;

struct Bytes {
    Bytes() {
        Header header;
        header.table_offset = 1536;
        header.table_entries = 512;
        header.parent_uuid[3] = std::byte{7};
        header.parent_name = "base.vhd";
        header.locators[2] = {platform_windows_relative, 8192, 20, 512};
        bytes = encode_header(header);
    }
    template <class Number>
    Bytes& put(std::size_t offset, Number value) {
        store(std::span{bytes}, offset, value);
        store<std::uint32_t>(bytes, 36, checksum(bytes, 36));
        return *this;
    }
    void check_refused(const std::string& reason) const {
        const auto error = thrown([&] { parse_header(bytes, disk_bytes, "/x"); });
        CHECK(error.code() == Errc::image_invalid);
        CHECK_THAT(error.what(), Catch::StartsWith("/x: ") && Catch::Contains(reason));
    }
    std::array<std::byte, header_bytes> bytes{};
};

}  // namespace

TEST_CASE("vhd header: what is written is read", "[unit][vhd]") {
    const Header header = parse_header(Bytes{}.bytes, disk_bytes, "/x");
    CHECK(header.table_offset == 1536);
    CHECK(header.table_entries == 512);
    CHECK(header.block_bytes == 2 << 20);
    CHECK(header.parent_name == "base.vhd");
    CHECK_FALSE(header.parent_is_raw());
    CHECK(header.locators[2].platform == platform_windows_relative);
    CHECK(header.locators[2].offset == 8192);
    CHECK(header.locators[2].length_bytes == 20);
    CHECK(header.locators[2].space_bytes == 512);
    CHECK(header.locators[0].platform == 0);
}

TEST_CASE("vhd header: space that is given in bytes is understood", "[unit][vhd]") {
    const auto bytes = Bytes{}.put<std::uint32_t>(576 + 48 + 4, 1024).bytes;
    CHECK(parse_header(bytes, disk_bytes, "/x").locators[2].space_bytes == 1024);
}

TEST_CASE("vhd header: what cannot be is refused", "[unit][vhd]") {
    Bytes{}.put<std::uint8_t>(0, 'C').check_refused("no header");
    Bytes{}.put<std::uint32_t>(24, 0x00020000).check_refused("unknown version 2");
    Bytes{}.put<std::uint32_t>(32, 0).check_refused("not a power of two");
    Bytes{}.put<std::uint32_t>(32, 3 << 20).check_refused("not a power of two");
    Bytes{}.put<std::uint32_t>(32, 2048).check_refused("not a power of two");
    Bytes{}.put<std::uint32_t>(32, 512U << 20).check_refused("not a power of two");
    Bytes{}.put<std::uint32_t>(28, 511).check_refused("too short for its size");
    Bytes{}.put<std::uint32_t>(28, 0).check_refused("too short for its size");
    Bytes{}.put<std::uint32_t>(28, 0xffffffff).check_refused("more blocks");
    Bytes{}.put<std::uint64_t>(16, 1537).check_refused("misplaced");
    Bytes{}.put<std::uint32_t>(576 + 48 + 8, 1 << 20).check_refused("name is too long");
    Bytes damaged;
    damaged.bytes[700] ^= std::byte{1};
    damaged.check_refused("the checksum is wrong");
}

TEST_CASE("vhd header: another table, the rest as it was", "[unit][vhd]") {
    auto bytes = Bytes{}.bytes;
    set_table(bytes, 1 << 20, 1024);
    const Header header = parse_header(bytes, disk_bytes, "/x");
    CHECK(header.table_offset == 1 << 20);
    CHECK(header.table_entries == 1024);
    CHECK(header.parent_name == "base.vhd");
}

TEST_CASE("vhd header: names survive UTF-16, and what is no text becomes a question mark", "[unit][vhd]") {
    const std::string text = GENERATE(as<std::string>{}, "", "base.vhd",
                                      "gr\xc3\xb6\xc3\x9f"
                                      "e",
                                      "\xe4\xb8\xad", "\xf0\x9f\x98\x80!");
    const bool big_endian = GENERATE(true, false);
    const std::string encoded = to_utf16(text, big_endian);
    CHECK(from_utf16(std::as_bytes(std::span{encoded}), big_endian) == text);
    CHECK(to_utf16("\xff", true) == std::string("\0?", 2));
    CHECK(to_utf16("a\xc3", false) == std::string("a\0?\0", 4));
    const char lone[] = {'\xd8', '\0', 'x'};
    CHECK(from_utf16(std::as_bytes(std::span{lone}), true) == "?");
}
