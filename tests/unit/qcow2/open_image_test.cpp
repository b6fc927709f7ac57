// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "drivers/qcow2/open_image.hpp"

#include <filesystem>
#include <fstream>

#include "tests/unit/qcow2/qcow2_fixture.hpp"

using namespace blktap;
using namespace blktap::testing;

namespace {

std::system_error refusal(const std::string& path, Access access = Access::read_write) {
    DriverHarness harness;
    return thrown([&] { harness.open("qcow2:" + path, access); });
}

void check_damaged(const std::string& path, const std::string& reason) {
    const auto error = refusal(path);
    CHECK(error.code() == Errc::image_invalid);
    CHECK_THAT(error.what(), Catch::StartsWith(path) && Catch::Contains(reason));
    CHECK_THAT(error.what(), !Catch::Contains("not a valid image"));
}

/// An image of 4 MiB with 64 KiB of data in its middle.
std::string make_with_data(const TemporaryDirectory& directory, const std::string& options = "") {
    std::string path = make_qcow2(directory.path("disk"), "4M", options);
    DriverHarness harness;
    const auto driver = harness.open("qcow2:" + path);
    ModelDisk model{8192};
    REQUIRE_FALSE(write_stamp(harness, *driver, model, {4000, 128}, 5));
    CHECK_FALSE(harness.flush(*driver));
    return path;
}

}  // namespace

TEST_CASE("qcow2 open: tells the guest what the image is", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    DriverHarness harness;
    const auto driver = harness.open("qcow2:" + make_qcow2(directory.path("disk"), "10M", "cluster_size=8192"));
    CHECK(driver->info().size_sectors == 20480);
    CHECK(driver->info().discard);
    CHECK(driver->info().discard_granularity_bytes == 8192);
    CHECK_FALSE(driver->info().read_only);
}

TEST_CASE("qcow2 open: something else is not a qcow2 image", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    check_damaged(directory.make_file("raw", 1 << 20), "not a qcow2 image");
    check_damaged(directory.make_file("short", 100), "not a qcow2 image");
    check_damaged(directory.make_file("empty", 0), "not a qcow2 image");
    DriverHarness harness;
    CHECK(thrown([&] { harness.open("qcow2:"); }).code() == std::errc::invalid_argument);
    CHECK(thrown([&] { harness.open("qcow2:/x?metadata-cache=2G"); }).code() == std::errc::invalid_argument);
    CHECK(thrown([&] { harness.open("qcow2:/x?colour=red"); }).code() == std::errc::invalid_argument);
}

TEST_CASE("qcow2 open: a backing file is found beside its image", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    make_qcow2(directory.path("base"), "4M");
    DriverHarness harness;
    const std::string overlay = make_qcow2(directory.path("overlay"), "4M", "", {"-b", "base", "-F", "qcow2"});
    CHECK(harness.open("qcow2:" + overlay)->info().size_sectors == 8192);
}

TEST_CASE("qcow2 open: who names a backing file that cannot be used is told, and why it cannot", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string base = directory.path("base");
    const std::string middle = make_qcow2(directory.path("middle"), "4M", "", {"-u", "-b", base, "-F", "qcow2"});
    const std::string top = make_qcow2(directory.path("top"), "4M", "", {"-u", "-b", middle, "-F", "qcow2"});
    const auto missing = refusal(top, Access::read_only);
    CHECK(missing.code() == std::errc::no_such_file_or_directory);
    CHECK(std::string{missing.what()} == middle + ": its backing file cannot be used: " + base +
                                             ": cannot open for reading: No such file or directory");
    directory.make_file("base", 4 << 20);
    const auto unfit = refusal(top, Access::read_only);
    CHECK(unfit.code() == Errc::image_invalid);
    CHECK(std::string{unfit.what()} == middle + ": its backing file cannot be used: " + base + ": not a qcow2 image");
}

TEST_CASE("qcow2 open: a backing file named 'file:/path' is the one that QEMU reads", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    ModelDisk model{8192};
    const std::string base = make_qcow2(directory.path("base"), "4M");
    {
        DriverHarness harness;
        REQUIRE_FALSE(write_stamp(harness, *harness.open("qcow2:" + base), model, {100, 50}, 3));
    }
    const std::string overlay = make_qcow2(directory.path("overlay"), "4M", "", {"-b", "file:" + base, "-F", "qcow2"});
    DriverHarness harness;
    CHECK_FALSE(find_difference(harness, *harness.open("qcow2:" + overlay), model));
    const std::string raw = directory.path("raw");
    qemu_img({"convert", "-O", "raw", overlay, raw});
    CHECK_FALSE(find_difference(harness, *harness.open("raw:" + raw), model));
    // Where QEMU would look for this depends on where it runs.
    const std::string moving = make_qcow2(directory.path("moving"), "4M", "", {"-u", "-b", "file:base", "-F", "qcow2"});
    const auto error = refusal(moving);
    CHECK(error.code() == std::errc::not_supported);
    CHECK_THAT(error.what(), Catch::StartsWith(moving + ": ") && Catch::Contains("'file:base'"));
}

TEST_CASE("qcow2 open: behind a link to a folder, a backing file is found where QEMU finds it", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    std::filesystem::create_directories(directory.path("real/folder"));
    std::filesystem::create_directory_symlink("real/folder", directory.path("link"));
    make_qcow2(directory.path("real/base"), "4M");
    make_qcow2(directory.path("real/folder/overlay"), "4M", "", {"-b", "../base", "-F", "qcow2"});
    DriverHarness harness;
    CHECK(harness.open("qcow2:" + directory.path("link/overlay"))->info().size_sectors == 8192);
}

TEST_CASE("qcow2 open: a chain that comes back to an image is refused", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string one = directory.path("one");
    const std::string two = directory.path("two");
    make_qcow2(one, "4M", "", {"-u", "-b", two, "-F", "qcow2"});
    make_qcow2(two, "4M", "", {"-u", "-b", one, "-F", "qcow2"});
    for (const Access access : {Access::read_only, Access::read_write}) {
        const auto error = refusal(one, access);
        CHECK(error.code() == Errc::image_invalid);
        CHECK_THAT(error.what(), Catch::Contains("its own backing file"));
    }
    REQUIRE(::link(one.c_str(), directory.path("same").c_str()) == 0);
    make_qcow2(two, "4M", "", {"-u", "-b", directory.path("same"), "-F", "qcow2"});
    CHECK_THAT(refusal(one, Access::read_only).what(), Catch::Contains("its own backing file"));
}

TEST_CASE("qcow2 open: a backing file's format is said, and known", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string base = directory.make_file("base", 4 << 20);
    const std::string path = make_qcow2(directory.path("disk"), "4M", "", {"-b", base, "-F", "raw"});
    const ImageBytes bytes{path};
    std::uint64_t at = bytes.get<std::uint32_t>(100);
    while (bytes.get<std::uint32_t>(at) != 0xe2792aca)
        at += 8 + round_up(bytes.get<std::uint32_t>(at + 4), 8);
    bytes.put<std::uint32_t>(at, 0x11111111);
    check_damaged(path, "does not say what format");
    bytes.put<std::uint32_t>(at, 0xe2792aca);
    bytes.put<std::uint8_t>(at + 8, 'j');
    const auto error = refusal(path);
    CHECK(error.code() == std::errc::not_supported);
    CHECK_THAT(error.what(), Catch::Contains("'jaw'"));
}

TEST_CASE("qcow2 open: a raw backing file that ends inside of a sector is read to its last byte", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    std::ofstream{directory.path("base")} << std::string(1001, 'x');
    const std::string path = make_qcow2(directory.path("top"), "1M", "", {"-b", "base", "-F", "raw"});
    DriverHarness harness;
    const auto driver = harness.open("qcow2:" + path);
    std::vector<std::byte> read(1024, std::byte{0xee});
    REQUIRE_FALSE(harness.read(*driver, {0, 2}, read));
    CHECK(std::count(read.begin(), read.begin() + 1001, std::byte{'x'}) == 1001);
    CHECK(std::count(read.begin() + 1001, read.end(), std::byte{0}) == 23);
}

TEST_CASE("qcow2 open: a backing file that is missing is named", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string path =
        make_qcow2(directory.path("disk"), "4M", "", {"-u", "-b", directory.path("gone"), "-F", "raw"});
    const auto error = refusal(path);
    CHECK(error.code() == std::errc::no_such_file_or_directory);
    CHECK_THAT(error.what(), Catch::StartsWith(path + ": ") && Catch::Contains(directory.path("gone")));
}

TEST_CASE("qcow2 open: internal snapshots are for reading only", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string path = make_with_data(directory);
    qemu_img({"snapshot", "-c", "before", path});
    const auto error = refusal(path);
    CHECK(error.code() == std::errc::not_supported);
    CHECK_THAT(error.what(), Catch::Contains("internal snapshots"));
    DriverHarness harness;
    const auto driver = harness.open("qcow2:" + path, Access::read_only);
    ModelDisk model{8192};
    model.write({4000, 128}, 5);
    CHECK_FALSE(find_difference(harness, *driver, model));
}

TEST_CASE("qcow2 open: an image that is marked as corrupt is for reading only", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string path = make_with_data(directory);
    ImageBytes{path}.put<std::uint64_t>(72, 2);
    check_damaged(path, "marked as corrupt");
    DriverHarness harness;
    CHECK(harness.open("qcow2:" + path, Access::read_only)->info().read_only);
}

TEST_CASE("qcow2 open: tables that overlap, lie outside or are not counted keep it from being written",
          "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string path = make_with_data(directory);
    const ImageBytes bytes{path};
    const auto l1 = bytes.l1_offset();
    const auto l2 = bytes.get<std::uint64_t>(l1);
    for (const std::uint64_t table : {std::uint64_t{0x10000}, l1, bytes.refcount_block_offset()}) {
        bytes.put<std::uint64_t>(l1, table);
        check_damaged(path, "overlaps another table");
    }
    for (const std::uint64_t table : {0x00ffffffffff0000ULL, 0x10200ULL}) {
        bytes.put<std::uint64_t>(l1, table);
        check_damaged(path, "an L2 table is outside of the file");
    }
    bytes.put<std::uint64_t>(l1, l2);
    const auto block = bytes.refcount_block_offset();
    const std::uint64_t l2_count = block + (bytes.l2_offset() >> 16) * 2;
    for (const std::uint16_t count : {std::uint16_t{0}, std::uint16_t{2}}) {
        bytes.put<std::uint16_t>(l2_count, count);
        check_damaged(path, "refcount of a table is wrong");
    }
    bytes.put<std::uint16_t>(l2_count, 1);
    bytes.put<std::uint64_t>(bytes.refcount_table_offset(), 0x7fffffff0000);
    check_damaged(path, "a refcount block is outside of the file");
    bytes.put<std::uint64_t>(bytes.refcount_table_offset(), block);
    bytes.put<std::uint64_t>(40, 0x7fffffff0000);
    check_damaged(path, "the L1 table is outside of the file");
    bytes.put<std::uint64_t>(40, l1);
    bytes.put<std::uint64_t>(48, 0x7fffffff0000);
    check_damaged(path, "the refcount table is outside of the file");
}

TEST_CASE("qcow2 open: a dirty image gets its refcounts from its tables", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string path =
        make_with_data(directory, GENERATE("lazy_refcounts=on", "cluster_size=512,lazy_refcounts=on"));
    const ImageBytes bytes{path};
    bytes.put<std::uint64_t>(72, 1);
    // Lost counts of data, and one too many.
    const std::uint64_t cluster = 1ULL << bytes.get<std::uint32_t>(20);
    const auto data =
        (bytes.get<std::uint64_t>(bytes.l2_offset() + 8 * (4000 * 512 / cluster % (cluster / 8)))) & 0x00fffffffffffe00;
    const auto block = bytes.refcount_block_offset();
    if (cluster == 65536) {
        bytes.put<std::uint16_t>(block + data / cluster * 2, 0);
        bytes.put<std::uint16_t>(block + 100, 7);
    }
    {
        DriverHarness harness;
        const auto driver = harness.open("qcow2:" + path);
        ModelDisk model{8192};
        model.write({4000, 128}, 5);
        CHECK_FALSE(find_difference(harness, *driver, model));
        CHECK(bytes.get<std::uint64_t>(72) == 0);
    }
    CHECK(check_qcow2(path) == 0);
}

TEST_CASE("qcow2 open: a dirty image whose tables contradict themselves is not repaired", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string path = make_with_data(directory);
    const ImageBytes bytes{path};
    bytes.put<std::uint64_t>(72, 1);
    bytes.put<std::uint64_t>(bytes.l2_offset() + 8, bytes.l1_offset());
    check_damaged(path, "contradict themselves");
    bytes.put<std::uint64_t>(bytes.l2_offset() + 8, 0x10200);
    check_damaged(path, "an L2 entry is impossible");
    bytes.put<std::uint64_t>(bytes.l2_offset() + 8, 0x7fffffff0000);
    check_damaged(path, "a cluster is outside of the file");
}

TEST_CASE("qcow2 open: bitmaps count as out of date from then on", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string path = make_qcow2(directory.path("disk"), "4M");
    qemu_img({"bitmap", "--add", path, "backup"});
    const ImageBytes bytes{path};
    REQUIRE(bytes.get<std::uint64_t>(88) == 1);
    DriverHarness harness;
    harness.open("qcow2:" + path, Access::read_only);
    CHECK(bytes.get<std::uint64_t>(88) == 1);
    harness.open("qcow2:" + path);
    CHECK(bytes.get<std::uint64_t>(88) == 0);
}

TEST_CASE("qcow2 open: a refcount table that would become too short is made longer at once", "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string path = make_qcow2(directory.path("disk"), "64M", "cluster_size=512");
    const ImageBytes bytes{path};
    const auto before = bytes.get<std::uint32_t>(56);
    DriverHarness harness;
    harness.open("qcow2:" + path);
    const auto after = bytes.get<std::uint32_t>(56);
    CHECK(after > before);
    CHECK(check_qcow2(path) == 0);
    harness.open("qcow2:" + path);
    CHECK(bytes.get<std::uint32_t>(56) == after);
}

TEST_CASE("qcow2 open: more clusters than are kept account of can be read, and why they are not written is told",
          "[unit][qcow2]") {
    const TemporaryDirectory directory;
    const std::string path = make_qcow2(directory.path("disk"), "128T");
    check_damaged(path, "more than 2^31 clusters, and can only be opened read-only");
    DriverHarness harness;
    CHECK_NOTHROW(harness.open("qcow2:" + path, Access::read_only));
}
