// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include <fcntl.h>
#include <unistd.h>

#include "tests/support/catch.hpp"
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
    TapCtl tap_ctl{"/nonexistent"};  // tapback is not asked
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
    CHECK_THAT(images.run({"check", images.image}).out, Catch::StartsWith("1 errors; the first: cluster 3"));
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
