// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/examine.hpp"

#include "drivers/qcow2/open_image.hpp"
#include "tests/unit/qcow2/qcow2_fixture.hpp"

using namespace blktap;
using namespace blktap::qcow2;
using namespace blktap::testing;

namespace {

Chain open(const std::string& path) {
    LocalImageOpener files;
    return open_chain(path, Access::read_only, Caching::buffered, files).chain;
}

Findings check(const std::string& path) {
    return check_tables(open(path).front());
}

/// 64 KiB of data at 1 MiB, a discarded cluster behind it.
std::string make_with_data(const TemporaryDirectory& directory, const std::string& options = "",
                           const std::vector<std::string>& more = {}) {
    std::string path = make_qcow2(directory.path("disk"), "4M", options, more);
    DriverHarness harness;
    const auto driver = harness.open("qcow2:" + path);
    ModelDisk model{8192};
    REQUIRE_FALSE(write_stamp(harness, *driver, model, {2048, 256}, 5));
    REQUIRE_FALSE(harness.discard(*driver, {2176, 128}));
    return path;
}

}  // namespace

TEST_CASE("qcow2 check: agrees with qemu-img on images of every sort", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string path = make_with_data(
        directory, GENERATE("", "compat=0.10", "cluster_size=512", "refcount_bits=1", "preallocation=metadata"));
    CHECK(check_qcow2(path) == 0);
    const Findings found = check(path);
    CHECK(found.errors == 0);
    CHECK(found.leaked_clusters == 0);
    CHECK(found.clusters_used > 4);
    const std::string packed = directory.path("packed");
    qemu_img({"convert", "-q", "-c", "-O", "qcow2", path, packed});
    CHECK(check(packed).errors == 0);
    CHECK(check(packed).leaked_clusters == 0);
}

TEST_CASE("qcow2 check: tells leaked clusters from errors, as qemu-img does", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string path = make_with_data(directory);
    const ImageBytes bytes{path};
    const auto block = bytes.refcount_block_offset();
    const auto entry = bytes.l2_offset() + 8 * 16;
    const auto data = bytes.get<std::uint64_t>(entry) & 0x00fffffffffffe00;
    REQUIRE(data != 0);
    bytes.put<std::uint16_t>(block + data / 65536 * 2, 2);
    CHECK(check_qcow2(path) != 0);
    CHECK(check(path).leaked_clusters == 1);
    CHECK(check(path).errors == 0);
    bytes.put<std::uint16_t>(block + data / 65536 * 2, 0);
    CHECK(check(path).errors == 1);
    CHECK_THAT(check(path).first_error, Catch::Contains("used more often than counted"));
    bytes.put<std::uint16_t>(block + data / 65536 * 2, 1);
    bytes.put<std::uint64_t>(entry, 0x10200);
    CHECK(check(path).errors == 1);
    bytes.put<std::uint64_t>(entry, 0x7fffffff0000);
    CHECK_THAT(check(path).first_error, Catch::Contains("outside of the file"));
}

TEST_CASE("qcow2 map: says where each piece of the disk is", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string base = directory.make_file("base", 512 * 1024);
    const std::string path = make_with_data(directory, "", {"-b", base, "-F", "raw"});
    std::uint64_t end = 0;
    std::uint64_t data_bytes[2] = {};
    const Chain chain = open(path);
    map_disk(chain, [&](std::uint64_t offset, const Extent& extent) {
        CHECK(offset == end);
        end += extent.length;
        CHECK((extent.kind == Extent::Kind::data || extent.kind == Extent::Kind::zero));
        if (extent.kind == Extent::Kind::data) data_bytes[extent.layer] += extent.length;
        if (extent.kind == Extent::Kind::data && extent.layer == 0) CHECK(offset == 1 << 20);
    });
    CHECK(end == 4 << 20);
    CHECK(data_bytes[0] == 65536);
    CHECK(data_bytes[1] == 512 * 1024);
}
