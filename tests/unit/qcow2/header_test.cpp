// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/metadata/header.hpp"

#include <functional>

#include "libblktap/base/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/thrown.hpp"
#include "tests/unit/qcow2/header_bytes.hpp"

using namespace blktap;
using namespace blktap::qcow2;
using namespace blktap::testing;

namespace {

std::system_error refusal(HeaderBytes& header) {
    return thrown([&] { parse_header(header.bytes(), "/x"); });
}

void check_invalid(HeaderBytes& header, const std::string& reason) {
    const auto error = refusal(header);
    CHECK(error.code() == Errc::image_invalid);
    CHECK_THAT(error.what(), Catch::StartsWith("/x: ") && Catch::Contains(reason));
}

void check_unsupported(HeaderBytes& header, const std::string& reason) {
    const auto error = refusal(header);
    CHECK(error.code() == std::errc::not_supported);
    CHECK_THAT(error.what(), Catch::StartsWith("/x: ") && Catch::Contains(reason));
}

}  // namespace

TEST_CASE("qcow2 header: a plain one is read", "[unit][qcow2]") {
    HeaderBytes bytes;
    const Header header = parse_header(bytes.bytes(), "/x");
    CHECK(header.version == 3);
    CHECK(header.cluster_bytes() == 65536);
    CHECK(header.size_bytes == 1ULL << 30);
    CHECK(header.l1_count == 2);
    CHECK(header.l1_offset == 3 * 65536);
    CHECK(header.refcount_table_offset == 65536);
    CHECK(header.refcount_order == 4);
    CHECK(header.backing_file.empty());
    CHECK_FALSE(header.dirty());
}

TEST_CASE("qcow2 header: version 2 has no features and refcounts of 16 bits", "[unit][qcow2]") {
    HeaderBytes bytes;
    bytes.put<std::uint32_t>(4, 2).put<std::uint64_t>(72, 0).put<std::uint32_t>(96, 0).put<std::uint32_t>(100, 0);
    const Header header = parse_header(bytes.bytes(), "/x");
    CHECK(header.version == 2);
    CHECK(header.refcount_order == 4);
    CHECK(header.incompatible == 0);
}

TEST_CASE("qcow2 header: names a backing file and its format", "[unit][qcow2]") {
    HeaderBytes bytes;
    bytes.put_backing("base.img");
    bytes.put_extension(104, 0xe2792aca, "raw");
    const Header header = parse_header(bytes.bytes(), "/x");
    CHECK(header.backing_file == "base.img");
    CHECK(header.backing_format == "raw");
}

TEST_CASE("qcow2 header: extensions that it does not know are passed over", "[unit][qcow2]") {
    HeaderBytes bytes;
    bytes.put_backing("base.img");
    const std::size_t next = bytes.put_extension(104, 0x12345678, "whatever");
    bytes.put_extension(next, 0xe2792aca, "qcow2");
    CHECK(parse_header(bytes.bytes(), "/x").backing_format == "qcow2");
}

TEST_CASE("qcow2 header: the type of compression is read where the feature says that there is one", "[unit][qcow2]") {
    HeaderBytes bytes;
    bytes.put<std::uint32_t>(100, 112).put<std::uint64_t>(72, 8).put<std::uint8_t>(104, 1);
    CHECK(parse_header(bytes.bytes(), "/x").compression == Compression::zstd);
    bytes.put<std::uint64_t>(72, 0);
    check_invalid(bytes, "compression type contradicts");
    bytes.put<std::uint64_t>(72, 8).put<std::uint8_t>(104, 2);
    check_unsupported(bytes, "compression type 2");
}

TEST_CASE("qcow2 header: what is malformed or out of bounds is refused with the reason", "[unit][qcow2]") {
    struct Case {
        std::function<void(HeaderBytes&)> spoil;
        std::string reason;
    };
    const std::vector<Case> cases{
        {[](HeaderBytes& h) { h.put<std::uint32_t>(0, 0); }, "not a qcow2 image"},
        {[](HeaderBytes& h) { h.bytes().resize(71); }, "not a qcow2 image"},
        {[](HeaderBytes& h) { h.bytes().resize(100); }, "cut off"},
        {[](HeaderBytes& h) { h.put<std::uint32_t>(20, 8); }, "size of its clusters"},
        {[](HeaderBytes& h) { h.put<std::uint32_t>(20, 22); }, "size of its clusters"},
        {[](HeaderBytes& h) { h.put<std::uint32_t>(20, 0xffffffff); }, "size of its clusters"},
        {[](HeaderBytes& h) { h.put<std::uint64_t>(24, 0); }, "size is 0"},
        {[](HeaderBytes& h) { h.put<std::uint64_t>(24, 513); }, "size, 513 bytes"},
        {[](HeaderBytes& h) { h.put<std::uint64_t>(24, ~511ULL); }, "is impossible"},
        {[](HeaderBytes& h) { h.put<std::uint64_t>(24, 1ULL << 40); }, "L1 table is too small"},
        {[](HeaderBytes& h) { h.put<std::uint32_t>(36, 1); }, "L1 table is too small"},
        {[](HeaderBytes& h) { h.put<std::uint32_t>(36, 0xffffffff); }, "L1 table is too large"},
        {[](HeaderBytes& h) { h.put<std::uint64_t>(40, 65537); }, "L1 table is misplaced"},
        {[](HeaderBytes& h) { h.put<std::uint64_t>(40, ~65535ULL); }, "L1 table is misplaced"},
        {[](HeaderBytes& h) { h.put<std::uint64_t>(48, 0); }, "refcount table is misplaced"},
        {[](HeaderBytes& h) { h.put<std::uint64_t>(48, 512); }, "refcount table is misplaced"},
        {[](HeaderBytes& h) { h.put<std::uint32_t>(56, 0); }, "refcount table's size"},
        {[](HeaderBytes& h) { h.put<std::uint32_t>(56, 129); }, "refcount table's size"},
        {[](HeaderBytes& h) { h.put<std::uint32_t>(60, 65537); }, "too many snapshots"},
        {[](HeaderBytes& h) { h.put<std::uint32_t>(96, 7); }, "more than 64 bits"},
        {[](HeaderBytes& h) { h.put<std::uint32_t>(100, 96); }, "header's length, 96"},
        {[](HeaderBytes& h) { h.put<std::uint32_t>(100, 65544); }, "header's length, 65544"},
        {[](HeaderBytes& h) { h.put_backing("b", 65535).put<std::uint32_t>(16, 2); }, "name of its backing file"},
        {[](HeaderBytes& h) { h.put<std::uint64_t>(8, ~0ULL).put<std::uint32_t>(16, 1); }, "name of its backing file"},
        {[](HeaderBytes& h) { h.put_backing(std::string(1024, 'b')); }, "name of its backing file"},
        {[](HeaderBytes& h) { h.put_backing(std::string("a\0b", 3)); }, "NUL"},
        {[](HeaderBytes& h) { h.put_backing("b", 80); }, "longer than its place"},
        {[](HeaderBytes& h) { h.put<std::uint32_t>(104, 1).put<std::uint32_t>(108, 65536); }, "extension is longer"},
    };
    for (const Case& each : cases) {
        CAPTURE(each.reason);
        HeaderBytes bytes;
        each.spoil(bytes);
        check_invalid(bytes, each.reason);
    }
}

TEST_CASE("qcow2 header: features that are not implemented are refused by name", "[unit][qcow2]") {
    HeaderBytes bytes;
    bytes.put<std::uint32_t>(32, 1);
    check_unsupported(bytes, "encrypted");
    bytes.put<std::uint32_t>(32, 0).put<std::uint32_t>(4, 4);
    check_unsupported(bytes, "version 4");
}

TEST_CASE("qcow2 header: an unknown feature has the name that the image gives it", "[unit][qcow2]") {
    HeaderBytes bytes;
    bytes.put<std::uint64_t>(72, 1ULL << 40);
    check_unsupported(bytes, "unknown feature bit 40");
    std::string table(96, '\0');
    table[1] = 39;
    table.replace(2, 5, "other");
    table[49] = 40;
    table.replace(50, 9, "telepathy");
    bytes.put_extension(104, 0x6803f857, table);
    check_unsupported(bytes, "unknown feature 'telepathy' (bit 40)");
}

TEST_CASE("qcow2 header: dirty and corrupt are told apart from what is refused", "[unit][qcow2]") {
    HeaderBytes bytes;
    bytes.put<std::uint64_t>(72, 3);
    const Header header = parse_header(bytes.bytes(), "/x");
    CHECK(header.dirty());
    CHECK(header.corrupt());
}

TEST_CASE("qcow2 header: subclusters halve what an L2 table tells of, and need clusters of 16 KiB", "[unit][qcow2]") {
    HeaderBytes bytes;
    bytes.put<std::uint64_t>(72, 16).put<std::uint32_t>(36, 4);
    const Header header = parse_header(bytes.bytes(), "disk");
    CHECK(header.extended_l2());
    CHECK(header.table_entries() == 4096);
    bytes.put<std::uint32_t>(36, 3);
    check_invalid(bytes, "the L1 table is too small");
    bytes.put<std::uint32_t>(36, 4000).put<std::uint32_t>(20, 13);
    check_invalid(bytes, "have no subclusters");
}

TEST_CASE("qcow2 header: a data file has a name, and may be a raw image", "[unit][qcow2]") {
    HeaderBytes bytes;
    bytes.put<std::uint64_t>(72, 4).put<std::uint64_t>(88, 2).put_extension(104, 0x44415441, "disk.raw");
    const Header header = parse_header(bytes.bytes(), "disk");
    CHECK(header.external_data());
    CHECK(header.raw_data());
    CHECK(header.data_file == "disk.raw");
    bytes.put_extension(104, 0x44415441, std::string("disk\0raw", 8));
    check_invalid(bytes, "a NUL in the name of its data file");
    // Without the feature neither means anything.
    bytes.put<std::uint64_t>(72, 0).put_extension(104, 0x44415441, "disk.raw");
    CHECK_FALSE(parse_header(bytes.bytes(), "disk").raw_data());
    CHECK(parse_header(bytes.bytes(), "disk").data_file.empty());
}
