// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include <filesystem>
#include <fstream>

#include "libblktap/files/local_image_opener.hpp"
#include "libblktap/ipc/tapback_messages.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/images/qemu_img.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/unit/control/tap_ctl_fixture.hpp"

using namespace blktap;
using namespace blktap::testing;
using ipc::Json;

namespace {

constexpr std::uint64_t size_bytes = 10 << 20;

struct Images {
    TapCtl::Result run(std::vector<std::string> arguments) const {
        arguments.insert(arguments.begin(), "image");
        return tap_ctl.run(std::move(arguments));
    }
    std::uint64_t size_of(const std::string& image) const {
        const auto info = run({"info", image, "--json"});
        INFO(info.err);
        REQUIRE(info.status == 0);
        return Json::parse(info.out)["chain"][0]["size-bytes"];
    }
    TemporaryDirectory directory{};
    TapCtl tap_ctl{"/nonexistent"};  // without tapback
    std::string base = "raw:" + directory.make_file("base", size_bytes);
    std::string overlay = "qcow2:" + directory.path("overlay");
};

/// A tapback with one disk on `path`, until a `resume` with another image, which it may refuse.
struct Disk {
    explicit Disk(const std::string& image_path, bool refuses_overlay = false,
                  const std::string& its_state = "connected")
        : image{"raw", image_path, false, {{"size", "20M"}, {"buffered", "yes"}, {"low-space", "off"}}},
          refuses(refuses_overlay),
          state(its_state) {}
    Json operator()(const ipc::Request& request) const {
        ipc::VbdEntry vbd;
        vbd.backend = {ipc::VbdAddress::Kind::vbd3, 5, 51712};
        vbd.state = state;
        vbd.image = image;
        if (request.name == "list") return ipc::ListResult{{vbd}, false};
        if (request.name == "info") {
            vbd.description = ipc::DeviceDescription{.size_sectors = 2 * size_bytes / 512};
            return vbd;
        }
        if (request.name == "resume" && request.arguments.contains("image") && refuses)
            throw_error({EPERM, std::system_category()}, "outside of image-directories");
        return Json::object();
    }
    ipc::ImageArguments image;
    bool refuses;
    std::string state;
};

}  // namespace

TEST_CASE("tap-ctl image snapshot: an image over a raw or a qcow2 image, as large as that", "[unit][control]") {
    const Images images;
    const auto made = images.run({"snapshot", images.base, images.overlay, "--json"});
    INFO(made.err);
    REQUIRE(made.status == 0);
    const Json json = Json::parse(made.out);
    CHECK(json["image"]["path"] == images.directory.path("overlay"));
    CHECK(json["base"]["format"] == "raw");
    CHECK(json["running"] == false);
    CHECK(images.size_of(images.overlay) == size_bytes);
    const std::string second = "qcow2:" + images.directory.path("second");
    const auto more = images.run({"snapshot", images.overlay, second});
    CHECK(more.status == 0);
    CHECK_THAT(more.out, Catch::Contains("must not be written any more"));
    const Json chain = Json::parse(images.run({"info", second, "--json"}).out)["chain"];
    CHECK(chain.size() == 3);
    CHECK(chain[2]["path"] == images.directory.path("base"));
}

TEST_CASE("tap-ctl image snapshot: a VHD over a raw image or another VHD, which names it in both ways",
          "[unit][control]") {
    const Images images;
    const std::string first = "vhd:" + images.directory.path("first");
    const std::string second = "vhd:" + images.directory.path("second");
    REQUIRE(images.run({"snapshot", images.base, first}).status == 0);
    const auto made = images.run({"snapshot", first, second});
    INFO(made.err);
    REQUIRE(made.status == 0);
    CHECK(images.size_of(second) == size_bytes);
    CHECK(Json::parse(images.run({"info", second, "--json"}).out)["chain"].size() == 3);
    CHECK(images.run({"resize", second, "20M"}).status == 0);
    CHECK(images.size_of(second) == 2 * size_bytes);
    CHECK(images.size_of(first) == size_bytes);
    CHECK_THAT(images.run({"snapshot", first, images.overlay}).err, Catch::Contains("the format vhd, not 'qcow2'"));
}

TEST_CASE("tap-ctl image snapshot: a relative name lets both be moved together", "[unit][control]") {
    const Images images;
    REQUIRE(images.run({"snapshot", images.base, images.overlay, "--relative"}).status == 0);
    const std::string elsewhere = images.directory.path("elsewhere");
    std::filesystem::create_directory(elsewhere);
    std::filesystem::rename(images.directory.path("base"), elsewhere + "/base");
    std::filesystem::rename(images.directory.path("overlay"), elsewhere + "/overlay");
    CHECK(images.size_of("qcow2:" + elsewhere + "/overlay") == size_bytes);
}

TEST_CASE("tap-ctl image snapshot: names lead to the old image through links to directories too", "[unit][control]") {
    namespace fs = std::filesystem;
    const Images images;
    const std::string format = GENERATE("qcow2", "vhd");
    fs::create_directories(images.directory.path("far/away"));
    fs::create_directory(images.directory.path("links"));
    fs::create_directory_symlink("../far/away", images.directory.path("links/here"));
    // A name whose ".." is resolved as text leads to another image.
    std::ofstream(images.directory.path("links/base"));
    fs::resize_file(images.directory.path("links/base"), size_bytes);
    std::ofstream(images.directory.path("far/base"));
    fs::resize_file(images.directory.path("far/base"), size_bytes);
    const std::string overlay = images.directory.path("links/here/overlay");
    const std::string base = "raw:" + images.directory.path("links/here/../base");
    for (const bool relative : {false, true}) {
        std::vector<std::string> words{"snapshot", base, format + ":" + overlay, "--json"};
        if (relative) words.push_back("--relative");
        const auto made = images.run(words);
        INFO(made.err);
        REQUIRE(made.status == 0);
        const std::string path = Json::parse(made.out)["image"]["path"];
        if (relative || format == "vhd") CHECK(path == images.directory.path("far/away/overlay"));
        const Json chain = Json::parse(images.run({"info", format + ":" + path, "--json"}).out)["chain"];
        CHECK(fs::equivalent(std::string(chain[1]["path"]), images.directory.path("far/base")));
        fs::remove(path);
    }
    const FakeTapback tapback(Disk{images.directory.path("far/base")});
    const auto running =
        TapCtl(tapback.socket()).run({"image", "snapshot", "5/xvda", format + ":" + overlay, "--relative"});
    INFO(running.err);
    REQUIRE(running.status == 0);
    CHECK(tapback.asked().back().arguments["image"]["path"] == images.directory.path("far/away/overlay"));
}

TEST_CASE("tap-ctl image: says when tapback will need a setting to open the base of what was made", "[unit][control]") {
    const Images images;
    std::filesystem::create_directory(images.directory.path("vm"));
    for (const std::string format : {"qcow2", "vhd"}) {
        const std::string beside = format + ":" + images.directory.path("vm/" + format);
        for (const auto& made : {images.run({"snapshot", images.base, beside + "-1"}),
                                 images.run({"create", beside + "-2", "--size", "10M", "--backing", "raw:../base"})}) {
            CHECK(made.status == 0);
            CHECK_THAT(made.err, Catch::Contains("note: " + images.directory.path("base") + " is not below") &&
                                     Catch::Contains("backing-directories"));
        }
        const std::string neighbour = format + ":" + images.directory.path(format);
        CHECK(images.run({"snapshot", images.base, neighbour + "-1"}).err == "");
        CHECK(images.run({"create", neighbour + "-2", "--size", "10M", "--backing", "raw:base"}).err == "");
    }
}

TEST_CASE("tap-ctl image snapshot: a base that somebody writes is refused, and so is what there is no format for",
          "[unit][control]") {
    const Images images;
    {
        LocalImageOpener files;
        const UniqueFd writer = files.open(images.directory.path("base"), Access::read_write, Caching::buffered);
        const auto refused = images.run({"snapshot", images.base, images.overlay});
        CHECK(refused.status == 1);
        CHECK_THAT(refused.err, Catch::Contains("in use") && Catch::Contains("tap-ctl image snapshot VBD"));
    }
    CHECK_THAT(images.run({"snapshot", images.base, "raw:" + images.directory.path("overlay")}).err,
               Catch::Contains("can have the format qcow2 or vhd, not 'raw'"));
    CHECK_THAT(images.run({"snapshot", "null:?size=1M", images.overlay}).err, Catch::Contains("no image can be made"));
    CHECK_THAT(images.run({"snapshot", images.base, images.base}).err, Catch::Contains("exists"));
    CHECK_FALSE(std::filesystem::exists(images.directory.path("overlay")));
}

TEST_CASE("tap-ctl image snapshot: a running disk is paused, and goes on with the new image", "[unit][control]") {
    const Images images;
    const FakeTapback tapback(Disk{images.directory.path("base")});
    const TapCtl tap_ctl(tapback.socket());
    const bool by_path = GENERATE(false, true);
    const auto made =
        tap_ctl.run({"image", "snapshot", by_path ? images.directory.path("base") : "5/xvda", images.overlay});
    INFO(made.err);
    REQUIRE(made.status == 0);
    CHECK_THAT(made.out, Catch::Contains("which the guest's configuration must name"));
    CHECK(tapback.names() == (by_path ? "list info pause info resume" : "info pause info resume"));
    const Json image = tapback.asked().back().arguments["image"];
    CHECK(image["format"] == "qcow2");
    CHECK(image["path"] == images.directory.path("overlay"));
    CHECK(image["options"] == Json{{"buffered", "yes"}, {"low-space", "off"}});
    CHECK(images.size_of(images.overlay) == 2 * size_bytes);  // as the guest knows it, not as the file is
}

TEST_CASE("tap-ctl image snapshot: what fails leaves the disk with its image, and no overlay", "[unit][control]") {
    const Images images;
    const FakeTapback refusing(Disk{images.directory.path("base"), true});
    const auto refused = TapCtl(refusing.socket()).run({"image", "snapshot", "5/xvda", images.overlay});
    CHECK(refused.status == 1);
    CHECK_THAT(refused.err, Catch::Contains("outside of image-directories"));
    CHECK(refusing.names() == "info pause info resume resume");
    CHECK_FALSE(refusing.asked().back().arguments.contains("image"));
    CHECK_FALSE(std::filesystem::exists(images.directory.path("overlay")));

    const FakeTapback without_file(Disk{images.directory.path("gone")});
    const auto gone = TapCtl(without_file.socket()).run({"image", "snapshot", "5/xvda", images.overlay});
    CHECK(gone.status == 1);
    CHECK(without_file.names() == "info pause info resume");
    CHECK_FALSE(std::filesystem::exists(images.directory.path("overlay")));

    const FakeTapback paused(Disk{images.directory.path("base"), false, "paused"});
    CHECK_THAT(TapCtl(paused.socket()).run({"image", "snapshot", "5/xvda", images.overlay}).err,
               Catch::Contains("is paused"));
    CHECK(paused.names() == "info");
}

TEST_CASE("tap-ctl image snapshot: a disk that got another image before it paused goes on with that",
          "[unit][control]") {
    const Images images;
    const std::string newer = images.directory.make_file("newer", size_bytes);
    const Disk before{images.directory.path("base")};
    const Disk after{newer};
    bool paused = false;  // all on tapback's thread
    const FakeTapback tapback([&](const ipc::Request& request) {
        paused = paused || request.name == "pause";
        return paused ? after(request) : before(request);
    });
    const auto refused = TapCtl(tapback.socket()).run({"image", "snapshot", "5/xvda", images.overlay});
    CHECK(refused.status == 1);
    CHECK_THAT(refused.err, Catch::Contains("has another image now"));
    CHECK(tapback.names() == "info pause info resume");
    CHECK_FALSE(tapback.asked().back().arguments.contains("image"));
    CHECK_FALSE(std::filesystem::exists(images.directory.path("overlay")));
}

TEST_CASE("tap-ctl image snapshot: a disk that is paused goes on, whatever is answered", "[unit][control]") {
    const Images images;
    const Disk disk{images.directory.path("base")};
    bool paused = false;
    const FakeTapback tapback([&](const ipc::Request& request) {
        paused = paused || request.name == "pause";
        return paused && request.name == "info" ? Json("what?") : disk(request);
    });
    CHECK(TapCtl(tapback.socket()).run({"image", "snapshot", "5/xvda", images.overlay}).status == 1);
    CHECK(tapback.names() == "info pause info resume");
}

TEST_CASE("tap-ctl image snapshot: a data file must be the one that the old image itself names", "[unit][control]") {
    const Images images;
    const std::string path = images.directory.path("disk");
    const std::string data = images.directory.path("data");
    REQUIRE(images.run({"create", "qcow2:" + path, "--size", "10M", "--data-file", data}).status == 0);
    const std::string other = images.directory.make_file("other", size_bytes);
    std::filesystem::create_symlink("data", images.directory.path("link"));
    // Of a disk that runs, and of one that does not.
    const auto refusal = [&](const std::string& option) {
        const auto offline = images.run({"snapshot", "qcow2:" + path + "?data-file=" + option, images.overlay});
        std::filesystem::remove(images.directory.path("overlay"));
        Disk disk{path};
        disk.image = {"qcow2", path, false, {{"data-file", option}}};
        const FakeTapback tapback(disk);
        const auto running = TapCtl(tapback.socket()).run({"image", "snapshot", "5/xvda", images.overlay});
        CHECK(tapback.names() == (running.status == 0 ? "info pause info resume" : "info"));
        CHECK(std::filesystem::exists(images.directory.path("overlay")) == (running.status == 0));
        std::filesystem::remove(images.directory.path("overlay"));
        CHECK(offline.err == running.err);
        return running.err;
    };
    CHECK_THAT(refusal(other), Catch::Contains("its data is in '" + other + "'") && Catch::Contains("read '" + data));
    CHECK(refusal(data) == "");
    CHECK(refusal("data") == "");
    CHECK(refusal(images.directory.path("link")) == "");
}

TEST_CASE("tap-ctl image resize: makes raw and qcow2 images larger, never smaller, and none that is in use",
          "[unit][control]") {
    const Images images;
    const std::string disk = "qcow2:" + images.directory.path("disk");
    REQUIRE(images.run({"create", disk, "--size", "10M"}).status == 0);
    const auto larger = images.run({"resize", disk, "20M"});
    INFO(larger.err);
    CHECK(larger.status == 0);
    CHECK(images.size_of(disk) == 2 * size_bytes);
    CHECK_THAT(images.run({"check", disk}).out, Catch::StartsWith("nothing is wrong"));
    CHECK(images.run({"resize", images.base, "20M", "--json"}).status == 0);
    CHECK(std::filesystem::file_size(images.directory.path("base")) == 2 * size_bytes);
    for (const std::string& image : {disk, images.base}) {
        CHECK_THAT(images.run({"resize", image, "1M"}).err, Catch::Contains("never made smaller"));
        CHECK(images.run({"resize", image, "much"}).status == 1);
    }
    LocalImageOpener files;
    const UniqueFd reader = files.open(images.directory.path("disk"), Access::read_only, Caching::buffered);
    const auto refused = images.run({"resize", disk, "30M"});
    CHECK(refused.status == 1);
    CHECK_THAT(refused.err, Catch::Contains("in use") && Catch::Contains("tap-ctl resize VBD"));
}

TEST_CASE("tap-ctl image resize: a data file is written only when the operator names it", "[unit][control]") {
    const Images images;
    const std::string disk = "qcow2:" + images.directory.path("disk");
    const std::string data = images.directory.path("data");
    REQUIRE(images.run({"create", disk, "--size", "10M", "--data-file", data}).status == 0);
    const auto refused = images.run({"resize", disk, "20M"});
    CHECK(refused.status == 1);
    CHECK_THAT(refused.err, Catch::Contains(data) && Catch::Contains("option data-file=PATH"));
    CHECK(std::filesystem::file_size(data) == size_bytes);
    for (const auto& [option, size] : {std::pair{data, "20M"}, std::pair{std::string("data"), "30M"}}) {
        const auto larger = images.run({"resize", disk + "?data-file=" + option, size});
        INFO(larger.err);
        CHECK(larger.status == 0);
    }
    CHECK(std::filesystem::file_size(data) == 3 * size_bytes);
    CHECK(images.size_of(disk) == 3 * size_bytes);
}
