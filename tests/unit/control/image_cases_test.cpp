// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Images that other programs left with an unusual end (images/README.md): each is read as QEMU reads it, read-only, as
// a backing file, and when open for writing.
#include <filesystem>
#include <fstream>

#include "drivers/vhd/create.hpp"
#include "tests/support/images/driver_harness.hpp"
#include "tests/support/images/image_files.hpp"
#include "tests/support/images/qemu_img.hpp"
#include "tests/support/places.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/thrown.hpp"
#include "tests/unit/control/tap_ctl_fixture.hpp"

using namespace blktap;
using namespace blktap::testing;

namespace {

constexpr std::uint64_t seen_bytes = 8 << 20;  ///< of each disk, at most
using Bytes = std::vector<std::byte>;

Bytes contents(const std::string& path) {
    const std::string text = read_file(path);
    const auto* begin = reinterpret_cast<const std::byte*>(text.data());
    return {begin, begin + std::min<std::size_t>(text.size(), seen_bytes)};
}

struct Case {
    Case(const std::string& name, const std::string& its_format) : format(its_format) {
        const std::string packed = directory.path(name + ".xz");
        std::filesystem::copy_file(std::string{BLKTAP_SOURCE_DIR "/tests/unit/control/images/"} + name + ".xz", packed);
        REQUIRE(run({"/usr/bin/xz", "-d", packed}, {}, std::chrono::seconds(20)) == 0);
        path = directory.path(name);
        std::filesystem::permissions(path, std::filesystem::perms::owner_write, std::filesystem::perm_options::add);
    }
    Bytes served(const std::string& image, Access access, const std::string& options = "") {
        const auto driver = harness.open(image + options, access);
        const std::uint64_t sectors = std::min(driver->info().size_sectors, seen_bytes / 512);
        const Mapping memory = Mapping::anonymous(sectors * 512);
        // A pattern that detects bytes that were not read.
        std::ranges::fill(memory.bytes(), std::byte{0xee});
        REQUIRE_FALSE(harness.read(*driver, {0, sectors}, memory.bytes()));
        return {memory.bytes().begin(), memory.bytes().end()};
    }
    /// The bytes that QEMU reads; for an image that QEMU does not open, the bytes that its maker wrote, no sector
    /// zeros.
    Bytes expected() const {
        if (format == "vhd") return {};
        const std::string raw = directory.path("seen-by-qemu");
        qemu_img({"dd", "-f", "qcow2", "-O", "raw", "bs=1M", "count=8", "if=" + path, "of=" + raw});
        return contents(raw);
    }
    TapCtl::Result tell(const std::string& command) const {
        return TapCtl{"/nonexistent"}.run({"image", command, image()});
    }
    std::string image() const { return format + ":" + path; }
    /// An image over this one.
    std::string over() const {
        const std::string top = directory.path("top");
        if (format == "vhd") {
            vhd::create_image({.path = top, .size_bytes = 5 << 20, .parent = path});
        } else {
            qemu_img({"create", "-q", "-f", "qcow2", "-b", path, "-F", "qcow2", top});
        }
        return format + ":" + top;
    }

    TemporaryDirectory directory{};
    std::string format;
    std::string path{};
    DriverHarness harness{};
};

/// Compares without printing millions of bytes when they differ.
bool same(const Bytes& one, const Bytes& other) {
    return one == other;
}

void check_sound(const Case& image) {
    const auto checked = image.tell("check");
    CHECK(checked.status == 0);
    CHECK_THAT(checked.out, Catch::StartsWith("nothing is wrong"));
    const auto map = image.tell("map");
    CHECK(map.status == 0);
    CHECK_THAT(map.out, !Catch::Contains("damaged"));
}

}  // namespace

TEST_CASE("image cases: whoever looks at an image with an unusual end sees what QEMU sees", "[unit][control]") {
    if (!qemu_img_available()) return;
    const auto* const name =
        GENERATE("fresh-20G.qcow2", "tail-compressed.qcow2", "odd-eof.qcow2", "l2-tail.qcow2", "last-block-cut.vhd");
    CAPTURE(name);
    const std::string format = std::string{name}.substr(std::string{name}.rfind('.') + 1);
    Case image{name, format};
    check_sound(image);
    const Bytes alone = image.served(image.image(), Access::read_only);
    if (format == "qcow2") {
        const Bytes expected = image.expected();
        // qemu-img dd leaves out zeros at the end.
        REQUIRE(expected.size() <= alone.size());
        CHECK(std::equal(expected.begin(), expected.end(), alone.begin()));
        CHECK(std::all_of(alone.begin() + static_cast<std::ptrdiff_t>(expected.size()), alone.end(),
                          [](std::byte byte) { return byte == std::byte{0}; }));
    }
    CHECK(same(image.served(image.image(), Access::read_only, "?buffered=yes"), alone));
    CHECK(same(image.served(image.over(), Access::read_only), alone));

    // A write over it copies the rest of a cluster, which must be the same bytes.
    Bytes changed = alone;
    {
        const std::string top = format + ":" + image.directory.path("top");
        const auto driver = image.harness.open(top);
        Bytes sector(512, std::byte{0x77});
        REQUIRE_FALSE(image.harness.write(*driver, {128, 1}, sector));
        std::ranges::copy(sector, changed.begin() + 65536);
    }
    CHECK(same(image.served(format + ":" + image.directory.path("top"), Access::read_only), changed));

    CHECK(same(image.served(image.image(), Access::read_write), alone));
    check_sound(image);
    {
        const auto driver = image.harness.open(image.image());
        Bytes sector(512, std::byte{0x77});
        REQUIRE_FALSE(image.harness.write(*driver, {128, 1}, sector));
    }
    CHECK(same(image.served(image.image(), Access::read_only), changed));
    check_sound(image);
    if (format == "qcow2") CHECK(check_qcow2(image.path) == 0);
}

TEST_CASE("image cases: what keeps an image from being written is what checking it says", "[unit][control]") {
    if (!qemu_img_available()) return;
    DriverHarness harness;
    const auto check_agree = [&](const Case& image, const std::string& reason) {
        const auto checked = image.tell("check");
        CHECK(checked.status == 2);
        CHECK_THAT(checked.out, Catch::Contains(reason));
        const auto error = thrown([&] { harness.open(image.image()); });
        CHECK_THAT(error.what(), Catch::Contains(reason));
        CHECK_NOTHROW(harness.open(image.image(), Access::read_only));
    };
    SECTION("marked as corrupt, of which QEMU's way out is told") {
        const Case image{"odd-eof.qcow2", "qcow2"};
        FileBytes{image.path}.put<std::uint64_t>(72, 2);
        check_agree(image, "is marked as corrupt");
        qemu_img({"check", "-q", "-r", "all", image.path});
        check_sound(image);
    }
    SECTION("tables that are in one place, and counted twice") {
        const Case image{"l2-tail.qcow2", "qcow2"};
        const FileBytes bytes{image.path};
        const auto l1 = bytes.get<std::uint64_t>(40);
        const auto l2 = bytes.get<std::uint64_t>(l1) & 0x00fffffffffffe00;
        const auto block = bytes.get<std::uint64_t>(bytes.get<std::uint64_t>(48));
        bytes.put<std::uint64_t>(l1, block);
        bytes.put<std::uint16_t>(block + l2 / 65536 * 2, 0);
        bytes.put<std::uint16_t>(block + block / 65536 * 2, 2);
        check_agree(image, "an L2 table overlaps another table");
    }
    SECTION("a block that is cut off before the disk's end") {
        const Case image{"last-block-cut.vhd", "vhd"};
        const std::string footer = read_file(image.path).substr(5246976 - 512);
        std::filesystem::resize_file(image.path, 5246976 - 1024);
        std::ofstream{image.path, std::ios::app | std::ios::binary} << footer;
        check_agree(image, "its last block reaches into the footer");
    }
}

TEST_CASE("image cases: after a block that ends with the disk there is room for the rest of it", "[unit][control]") {
    Case image{"last-block-cut.vhd", "vhd"};
    const Bytes before = image.served(image.image(), Access::read_only);
    {
        const auto driver = image.harness.open(image.image());
        TestRequest growing{ImageRequest::Kind::read, {}};
        growing.resize_on(*driver, 16384);
        image.harness.finish(growing);
        REQUIRE_FALSE(growing.error);
        Bytes data(1 << 20, std::byte{0x77});  // of the next block, and what the last one had no room for
        REQUIRE_FALSE(image.harness.write(*driver, {12288, 2048}, data));
        REQUIRE_FALSE(image.harness.write(*driver, {11000, 8}, std::span{data}.first(4096)));
    }
    Bytes after(seen_bytes);
    std::ranges::copy(before, after.begin());
    std::fill_n(after.begin() + 12288 * 512, 1 << 20, std::byte{0x77});
    std::fill_n(after.begin() + 11000 * 512, 4096, std::byte{0x77});
    CHECK(same(image.served(image.image(), Access::read_only), after));
    check_sound(image);
}
