// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include <chrono>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

#include "tests/support/catch.hpp"
#include "tests/support/images/image_files.hpp"
#include "tests/support/images/qemu_img.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/unit/control/tap_ctl_fixture.hpp"

using namespace blktap;
using namespace blktap::testing;
using ipc::Json;

namespace {

struct Images {
    TapCtl::Result run(std::vector<std::string> arguments) const {
        arguments.insert(arguments.begin(), "image");
        return tap_ctl.run(std::move(arguments));
    }
    TemporaryDirectory directory{};
    TapCtl tap_ctl{"/nonexistent"};  // without tapback
    std::string image = "qcow2:" + directory.path("disk");
};

}  // namespace

TEST_CASE("tap-ctl image: makes an image and tells about it", "[unit][control]") {
    const Images images;
    const auto made = images.run({"create", images.image, "--size", "10M", "--cluster-size", "8K"});
    CHECK(made.status == 0);
    CHECK(made.out + made.err == "");
    const auto info = images.run({"info", images.image, "--json"});
    REQUIRE(info.status == 0);
    const Json layer = Json::parse(info.out)["chain"][0];
    CHECK(layer["size-bytes"] == 10 << 20);
    CHECK(layer["cluster-bytes"] == 8192);
    CHECK(layer["format"] == "qcow2");
    CHECK_THAT(images.run({"info", images.image}).out, Catch::Contains("size-bytes"));
    CHECK_THAT(images.run({"check", images.image}).out, Catch::StartsWith("nothing is wrong"));
    const auto map = images.run({"map", images.image, "--json"});
    CHECK(Json::parse(map.out)["extents"][0]["what"] == "zero");
    CHECK_THAT(images.run({"map", images.image}).out, Catch::StartsWith("OFFSET"));
}

TEST_CASE("tap-ctl image: an image over a backing file shows both", "[unit][control]") {
    const Images images;
    REQUIRE(images.run({"create", images.image, "--size", "10M"}).status == 0);
    const std::string overlay = "qcow2:" + images.directory.path("overlay");
    REQUIRE(images.run({"create", overlay, "--size", "10M", "--backing", "qcow2:disk"}).status == 0);
    const auto info = images.run({"info", overlay, "--json"});
    CHECK(Json::parse(info.out)["chain"].size() == 2);
    CHECK_THAT(images.run({"info", overlay}).out, Catch::Contains("its backing file:"));
}

TEST_CASE("tap-ctl image: an image with subclusters", "[unit][control]") {
    const Images images;
    REQUIRE(images.run({"create", images.image, "--size", "10M", "--extended-l2"}).status == 0);
    CHECK(Json::parse(images.run({"info", images.image, "--json"}).out)["chain"][0]["extended-l2"] == true);
    CHECK_THAT(images.run({"check", images.image}).out, Catch::StartsWith("nothing is wrong"));
    const std::string other = "qcow2:" + images.directory.path("other");
    CHECK_THAT(images.run({"create", other, "--size", "10M", "--extended-l2", "--cluster-size", "8K"}).err,
               Catch::Contains("at least 16384 bytes"));
}

TEST_CASE("tap-ctl image: an image with a data file of its own", "[unit][control]") {
    const Images images;
    const std::string data = images.directory.path("data");
    REQUIRE(images.run({"create", images.image, "--size", "10M", "--data-file", data, "--data-file-raw"}).status == 0);
    const Json layer = Json::parse(images.run({"info", images.image, "--json"}).out)["chain"][0];
    CHECK(layer["data-file"] == data);
    CHECK(layer["data-file-raw"] == true);
    CHECK(::access(data.c_str(), F_OK) == 0);
    const std::string other = "qcow2:" + images.directory.path("other");
    CHECK_THAT(images.run({"create", other, "--size", "10M", "--data-file", data}).err, Catch::Contains("exists"));
    CHECK(images.run({"create", other, "--size", "10M", "--data-file-raw"}).status == 2);
    CHECK(::access(images.directory.path("other").c_str(), F_OK) != 0);
}

TEST_CASE("tap-ctl image: an image whose backing file is missing is not made", "[unit][control]") {
    const Images images;
    const auto made = images.run({"create", images.image, "--size", "10M", "--backing", "raw:gone"});
    CHECK(made.status == 1);
    CHECK_THAT(made.err, Catch::Contains("gone"));
    CHECK(::access(images.directory.path("disk").c_str(), F_OK) != 0);
}

TEST_CASE("tap-ctl image: what is wrong with an image is its exit status", "[unit][control]") {
    const Images images;
    REQUIRE(images.run({"create", images.image, "--size", "10M"}).status == 0);
    const UniqueFd fd{::open(images.directory.path("disk").c_str(), O_RDWR | O_CLOEXEC)};
    const unsigned char one[] = {0, 1};
    REQUIRE(::pwrite(fd.get(), one, 2, 2 * 65536 + 2 * 3) == 2);  // L1 table
    REQUIRE(::pwrite(fd.get(), one, 2, 2 * 65536 + 2 * 4) == 2);  // nothing is there, and nobody uses it
    REQUIRE(::ftruncate(fd.get(), 5 * 65536) == 0);
    CHECK(images.run({"check", images.image}).status == 3);
    const unsigned char none[] = {0, 0};
    REQUIRE(::pwrite(fd.get(), none, 2, 2 * 65536 + 2 * 3) == 2);
    const auto check = images.run({"check", images.image, "--json"});
    CHECK(check.status == 2);
    CHECK(Json::parse(check.out)["errors"] == 1);
    CHECK_THAT(images.run({"check", images.image}).out,
               Catch::StartsWith("1 errors; the first: the refcount of a table is wrong (cluster 3)"));
}

TEST_CASE("tap-ctl image: makes VHDs of every sort, and tells about them", "[unit][control]") {
    const Images images;
    const std::string disk = "vhd:" + images.directory.path("disk.vhd");
    const auto chain_of = [&](const std::string& image) {
        const auto info = images.run({"info", image, "--json"});
        INFO(info.err);
        REQUIRE(info.status == 0);
        return Json(Json::parse(info.out)["chain"]);
    };
    REQUIRE(images.run({"create", disk, "--size", "10M", "--cluster-size", "64K"}).status == 0);
    const Json dynamic = chain_of(disk)[0];
    CHECK(dynamic["format"] == "vhd");
    CHECK(dynamic["type"] == "dynamic");
    CHECK(dynamic["size-bytes"] == 10 << 20);
    CHECK(dynamic["cluster-bytes"] == 65536);
    CHECK_THAT(images.run({"check", disk}).out, Catch::StartsWith("nothing is wrong"));
    const auto map = images.run({"map", disk, "--json"});
    CHECK(Json::parse(map.out)["extents"][0]["what"] == "zero");
    const std::string over = "vhd:" + images.directory.path("over.vhd");
    REQUIRE(images.run({"create", over, "--size", "12M", "--backing", "vhd:disk.vhd"}).status == 0);
    const Json chain = chain_of(over);
    CHECK(chain.size() == 2);
    CHECK(chain[0]["type"] == "differencing");
    CHECK(chain[0]["parent-uuid"] == chain[1]["uuid"]);
    const std::string fixed = "vhd:" + images.directory.path("fixed.vhd");
    REQUIRE(images.run({"create", fixed, "--size", "1M", "--fixed"}).status == 0);
    CHECK(chain_of(fixed)[0]["type"] == "fixed");
    CHECK(Json::parse(images.run({"map", fixed, "--json"}).out)["extents"][0]["what"] == "data");
}

TEST_CASE("tap-ctl image: what is wrong with a VHD is its exit status", "[unit][control]") {
    const Images images;
    const std::string path = images.directory.path("disk.vhd");
    REQUIRE(images.run({"create", "vhd:" + path, "--size", "10M"}).status == 0);
    REQUIRE(::truncate(path.c_str(), 2048) == 0);
    const auto without_footer = images.run({"check", "vhd:" + path, "--json"});
    CHECK(without_footer.status == 3);
    CHECK(Json::parse(without_footer.out)["footer-missing"] == true);
    const UniqueFd fd{::open(path.c_str(), O_RDWR | O_CLOEXEC)};
    const unsigned char far_away[] = {0x10, 0, 0, 0};
    REQUIRE(::pwrite(fd.get(), far_away, 4, 1536) == 4);
    CHECK(images.run({"check", "vhd:" + path}).status == 2);
    CHECK_THAT(images.run({"check", "vhd:" + path}).out, Catch::StartsWith("1 errors; the first: block 0"));
}

TEST_CASE("tap-ctl image: only qcow2 and VHD images, what they can be, and sizes that are sizes", "[unit][control]") {
    const Images images;
    CHECK(images.run({"info", "raw:/srv/disk"}).status == 1);
    CHECK(images.run({"info", "/srv/disk"}).status == 1);
    CHECK(images.run({"create", images.image, "--size", "much"}).status == 1);
    CHECK(images.run({"create", images.image, "--size", "1M", "--fixed"}).status == 1);
    CHECK(images.run({"create", "vhd:/srv/x", "--size", "1M", "--extended-l2"}).status == 1);
    CHECK(images.run({"create", "vhd:/srv/x", "--size", "1M", "--backing", "qcow2:/srv/y"}).status == 1);
    CHECK(images.run({"create", images.image}).status == 2);
    CHECK(images.run({}).status == 2);
}

namespace {

/// Returns the extents that `image map` prints.
Json extents_of(const Images& images, const std::string& image) {
    const auto map = images.run({"map", image, "--json"});
    INFO(map.err);
    REQUIRE(map.status == 0);
    return Json::parse(map.out)["extents"];
}

void write_sectors(const std::string& image, SectorRange range) {
    DriverHarness harness;
    ModelDisk model{range.first + range.count};
    REQUIRE_FALSE(write_stamp(harness, *harness.open(image), model, range, 5));
}

}  // namespace

TEST_CASE("tap-ctl image: the map names the file that has the data, a data file of a backing image too",
          "[unit][control]") {
    const Images images;
    const std::string data = images.directory.path("data");
    REQUIRE(images.run({"create", images.image, "--size", "4M", "--data-file", data}).status == 0);
    write_sectors(images.image + "?data-file=" + data, {0, 2048});
    const Json whole = Json::array({{{"offset", 0}, {"length", 1 << 20}, {"what", "data"}, {"at", 0}, {"file", data}},
                                    {{"offset", 1 << 20}, {"length", 3 << 20}, {"what", "zero"}}});
    CHECK(extents_of(images, images.image) == whole);
    CHECK_THAT(images.run({"map", images.image}).out, Catch::Contains(data));
    const std::string overlay = "qcow2:" + images.directory.path("overlay");
    REQUIRE(images.run({"create", overlay, "--size", "4M", "--backing", "qcow2:disk"}).status == 0);
    CHECK(extents_of(images, overlay) == whole);
    write_sectors(overlay, {4096, 128});
    const Json extents = extents_of(images, overlay);
    REQUIRE(extents.size() == 4);
    CHECK(extents[2]["file"] == images.directory.path("overlay"));
}

TEST_CASE("tap-ctl image: compressed data is in the image, at no offset of the disk's bytes", "[unit][control]") {
    if (!qemu_img_available()) {
        WARN("needs qemu-img");
        return;
    }
    const Images images;
    const std::string raw = images.directory.make_file("raw", 1 << 20);
    write_sectors("raw:" + raw, {0, 1024});
    const std::string packed = images.directory.path("packed");
    qemu_img({"convert", "-c", "-O", "qcow2", raw, packed});
    CHECK(extents_of(images, "qcow2:" + packed) ==
          Json::array({{{"offset", 0}, {"length", 1 << 19}, {"what", "compressed"}, {"file", packed}},
                       {{"offset", 1 << 19}, {"length", 1 << 19}, {"what", "zero"}}}));
}

TEST_CASE("tap-ctl image: an empty disk is one piece however large it is, and quickly so", "[unit][control]") {
    const Images images;
    const std::string qcow2 = images.directory.path("disk");
    const std::string vhd = "vhd:" + images.directory.path("disk.vhd");
    const auto begin = std::chrono::steady_clock::now();
    REQUIRE(images.run({"create", vhd, "--size", "2040G"}).status == 0);
    CHECK(extents_of(images, vhd) == Json::array({{{"offset", 0}, {"length", 2040ULL << 30}, {"what", "zero"}}}));
    if (qemu_img_available()) {
        make_qcow2(qcow2, "100G", "cluster_size=512");
        CHECK(extents_of(images, images.image) ==
              Json::array({{{"offset", 0}, {"length", 100ULL << 30}, {"what", "zero"}}}));
    }
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20));
}

TEST_CASE("tap-ctl image: an image that was not closed is said to be repaired, not to be damaged", "[unit][control]") {
    const Images images;
    REQUIRE(images.run({"create", images.image, "--size", "4M"}).status == 0);
    write_sectors(images.image, {0, 256});
    const FileBytes bytes{images.directory.path("disk")};
    bytes.put<std::uint64_t>(72, 1);
    for (const std::uint64_t cluster : {4U, 5U, 6U})
        bytes.put<std::uint16_t>(2 * 65536 + cluster * 2, 0);
    const auto check = images.run({"check", images.image});
    CHECK(check.status == 3);
    CHECK_THAT(check.out, Catch::StartsWith("it was not closed, and 3 clusters are counted wrongly") &&
                              Catch::Contains("tapdisk repairs it"));
    const Json json = Json::parse(images.run({"check", images.image, "--json"}).out);
    CHECK(json["dirty"] == true);
    CHECK(json["miscounted-clusters"] == 3);
    CHECK(json["errors"] == 0);
    DriverHarness harness;
    CHECK_NOTHROW(harness.open(images.image));
    CHECK(images.run({"check", images.image}).status == 0);
    // Damage that opening does not repair is an error, dirty or not.
    bytes.put<std::uint64_t>(72, 1);
    bytes.put<std::uint64_t>(bytes.get<std::uint64_t>(40), (1ULL << 63) | 0x7fffffff0000);
    CHECK(images.run({"check", images.image}).status == 2);
}

TEST_CASE("tap-ctl image: clusters of internal snapshots get no advice that would do nothing", "[unit][control]") {
    if (!qemu_img_available()) {
        WARN("needs qemu-img");
        return;
    }
    const Images images;
    const std::string path = make_qcow2(images.directory.path("disk"), "4M");
    write_sectors(images.image, {0, 1024});
    qemu_img({"snapshot", "-c", "one", path});
    const auto check = images.run({"check", images.image});
    CHECK(check.status == 3);
    CHECK_THAT(check.out, Catch::Contains("1 internal snapshots") && !Catch::Contains("-r leaks"));
    CHECK(Json::parse(images.run({"check", images.image, "--json"}).out)["snapshots"] == 1);
}

TEST_CASE("tap-ctl image: a refusal ends with its reason", "[unit][control]") {
    const Images images;
    const auto refusal = [&](std::vector<std::string> arguments) { return images.run(std::move(arguments)).err; };
    CHECK(refusal({"create", images.image, "--size", "1000"}) ==
          "tap-ctl: " + images.directory.path("disk") +
              ": a disk of 1000 bytes is not possible; it is a multiple of 512, as 1024 is\n");
    CHECK_THAT(refusal({"create", images.image, "--size", "1M", "--fixed"}), Catch::EndsWith("never fixed\n"));
    const std::string vhd = images.directory.path("new.vhd");
    CHECK(refusal({"create", "vhd:" + vhd, "--size", "1M", "--extended-l2"}) ==
          "tap-ctl: " + vhd + ": a vhd image has no extended L2 entries\n");
    CHECK(refusal({"create", "vhd:" + vhd, "--size", "1M", "--data-file", vhd + ".data"}) ==
          "tap-ctl: " + vhd + ": a vhd image has no data file\n");
    CHECK_FALSE(std::filesystem::exists(vhd));
    CHECK_FALSE(std::filesystem::exists(vhd + ".data"));
    const std::string raw = images.directory.make_file("raw", 4096);
    CHECK(refusal({"info", "qcow2:" + raw}) == "tap-ctl: " + raw + ": not a qcow2 image\n");
    CHECK(refusal({"info", "vhd:" + raw}) == "tap-ctl: " + raw + ": not a VHD: has no footer that is whole\n");
    CHECK_THAT(refusal({"info", "raw:" + raw}), Catch::EndsWith("without options, is possible\n"));
}

TEST_CASE("tap-ctl image: a path that is not UTF-8 is shown, and no output fails for it", "[unit][control]") {
    const Images images;
    const std::string image = "qcow2:" + images.directory.path("\xff");
    const std::string shown = images.directory.path("\\xff");
    REQUIRE(images.run({"create", image, "--size", "1M"}).status == 0);
    write_sectors(image, {0, 8});
    CHECK(Json::parse(images.run({"info", image, "--json"}).out)["chain"][0]["path"] == shown);
    CHECK(extents_of(images, image)[0]["file"] == shown);
    CHECK_THAT(images.run({"info", image}).out, Catch::Contains(shown));
    const auto snapshot = images.run({"snapshot", image, image + "2", "--json"});
    CHECK(snapshot.err == "");
    CHECK(Json::parse(snapshot.out)["base"]["path"] == shown);
    CHECK_THAT(images.run({"info", image + "3"}).err, Catch::Contains(shown + "3"));
}
