// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>

#include "libblktap/ipc/tapback_messages.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/places.hpp"
#include "tests/support/process.hpp"
#include "tests/unit/control/tap_ctl_fixture.hpp"

namespace blktap {
namespace {

using ipc::Json;
using testing::FakeTapback;
using testing::TapCtl;

constexpr std::uint32_t vbds = 230;

ipc::VbdEntry entry(std::uint32_t index) {
    ipc::VbdEntry vbd;
    vbd.backend = {ipc::VbdAddress::Kind::vbd3, 5, index};
    vbd.state = "connected";
    vbd.image = ipc::ImageArguments{"raw", "/srv/" + std::to_string(index), false, {}};
    return vbd;
}

/// 230 VBDs, a hundred a reply, as the protocol has it.
Json list(const ipc::List& arguments) {
    // "5/99" -> 100
    const auto name = arguments.after.empty() ? "5/-1" : arguments.after;
    const auto first = static_cast<std::uint32_t>(std::stol(name.substr(2)) + 1);
    ipc::ListResult result;
    for (std::uint32_t index = first; index < std::min<std::uint32_t>(first + 100, vbds); ++index)
        result.vbds.push_back(entry(index));
    result.more = first + 100 < vbds;
    return result;
}

Json answer(const ipc::Request& request) {
    if (request.name == "list") return list(request.arguments.get<ipc::List>());
    if (request.name == "info") return entry(request.arguments.get<ipc::VbdArguments>().device);
    if (request.name == "status") return ipc::StatusResult{"0.1.0", 99, 1, true};
    if (request.name == "stats") return {{"state", "open"}, {"aio", {{"slots", 48}}}};
    if (request.name == "about") return ipc::AboutResult{"0.1.0", 4711, 90, 1, "on"};
    if (request.name == "plug") return ipc::DeviceDescription{.size_sectors = 2048, .read_only = true};
    if (request.name == "unplug") {
        throw_error(Errc::wrong_state, "5/51728 was not made by plug: use the toolstack");
    }
    return Json::object();
}

}  // namespace

TEST_CASE("tap-ctl: lists all VBDs, however many replies that takes", "[unit][control]") {
    const FakeTapback tapback(answer);
    const TapCtl tap_ctl(tapback.socket());
    const auto table = tap_ctl.run({"list"});
    CHECK(table.status == 0);
    CHECK(std::count(table.out.begin(), table.out.end(), '\n') == vbds + 1);
    CHECK(tapback.names() == "list list list");
    CHECK(tapback.asked().at(1).arguments == Json{{"after", "5/99"}});
    const Json json = Json::parse(tap_ctl.run({"list", "--json"}).out);
    CHECK(json["vbds"].size() == vbds);
    CHECK(json["vbds"][229]["image"]["path"] == "/srv/229");
    CHECK(json["more"] == false);
}

TEST_CASE("tap-ctl: sets how much tapback logs, to a level that there is", "[unit][control]") {
    const FakeTapback tapback(answer);
    const TapCtl tap_ctl(tapback.socket());
    CHECK(tap_ctl.run({"log-level", "loud"}).status != 0);
    CHECK(tap_ctl.run({"log-level"}).status != 0);
    CHECK(tapback.names().empty());
    CHECK(tap_ctl.run({"log-level", "debug"}).status == 0);
    CHECK(tapback.names() == "log-level");
    CHECK(tapback.asked().at(0).arguments == Json{{"level", "debug"}});
}

TEST_CASE("tap-ctl: upgrades one disk, or all one after the other, and says which could not be", "[unit][control]") {
    const FakeTapback tapback([](const ipc::Request& request) -> Json {
        if (request.name == "list") return answer(request);
        if (request.arguments.at("device") == 3) throw_error(Errc::wrong_state, "no tapdisk serves it now");
        return Json::object();
    });
    const TapCtl tap_ctl(tapback.socket());
    CHECK(tap_ctl.run({"upgrade"}).status != 0);
    CHECK(tap_ctl.run({"upgrade", "5/7", "--all"}).status != 0);
    CHECK(tapback.names().empty());
    CHECK(tap_ctl.run({"upgrade", "5/7"}).status == 0);
    CHECK(tapback.names() == "upgrade");
    const auto all = tap_ctl.run({"upgrade", "--all"});
    CHECK(all.status == 1);
    CHECK_THAT(all.out, Catch::StartsWith("1/230 5/0: upgraded\n"));
    CHECK_THAT(all.out, Catch::Contains("5/3: no tapdisk serves it now"));
    CHECK_THAT(all.out, Catch::Contains("230/230 "));
    CHECK_THAT(all.err, Catch::Contains("1 of 230 disks go on with the tapdisk that they had"));
}

TEST_CASE("tap-ctl: a reply that would be asked for again for ever is an error", "[unit][control]") {
    const FakeTapback tapback([](const ipc::Request&) -> Json { return ipc::ListResult{{}, true}; });
    const auto result = TapCtl(tapback.socket()).run({"list"});
    CHECK(result.status == 1);
    CHECK_THAT(result.err, Catch::StartsWith("tap-ctl: list: no entry, but more to come"));
}

TEST_CASE("tap-ctl: says what tapback knows, for people and as JSON", "[unit][control]") {
    const FakeTapback tapback(answer);
    const TapCtl tap_ctl(tapback.socket());
    CHECK(tap_ctl.run({"status"}).out == "tapback 0.1.0, pid 99: 1 disk\n");
    CHECK(Json::parse(tap_ctl.run({"--json", "status"}).out).at("pid") == 99);
    CHECK_THAT(tap_ctl.run({"info", "5/xvda"}).out, Catch::Contains("image           raw:/srv/51712\n"));
    CHECK(Json::parse(tap_ctl.run({"info", "5/xvda", "--json"}).out).at("vdev") == "xvda");
    CHECK(tap_ctl.run({"stats", "5/51712"}).out == "aio.slots  48\nstate      open\n");
    CHECK(Json::parse(tap_ctl.run({"stats", "5/51712", "--json"}).out).at("aio").at("slots") == 48);
}

TEST_CASE("tap-ctl: shows which version of tapdisk serves a disk", "[unit][control]") {
    const FakeTapback tapback(answer);
    const TapCtl tap_ctl(tapback.socket());
    CHECK_THAT(tap_ctl.run({"info", "5/xvda"}).out,
               Catch::Contains("version         0.1.0\n") && Catch::Contains("running         1 min\n"));
    CHECK(tapback.asked().back().arguments.get<ipc::VbdArguments>() == ipc::VbdArguments{5, 51712});
    const Json info = Json::parse(tap_ctl.run({"info", "5/xvda", "--json"}).out);
    CHECK(info.at("tapdisk").get<ipc::AboutResult>() == ipc::AboutResult{"0.1.0", 4711, 90, 1, "on"});
    const auto list = tap_ctl.run({"list", "--tapdisks"});
    CHECK(list.status == 0);
    CHECK(std::ranges::count(list.out, '\n') == 1 + vbds);
    CHECK_THAT(list.out, Catch::Contains("  0.1.0    1 min    on       connected\n"));
    const Json all = Json::parse(tap_ctl.run({"list", "--tapdisks", "--json"}).out);
    CHECK(all.at("vbds").size() == vbds);
    CHECK(all.at("vbds").back().at("tapdisk").at("version") == "0.1.0");
    // Who only lists disks asks no tapdisk.
    const auto asked = tapback.asked().size();
    CHECK(tap_ctl.run({"list"}).status == 0);
    CHECK(tapback.asked().size() == asked + 3);
}

TEST_CASE("tap-ctl: a tapdisk or tapback that does not know the question is of an unknown version, and no error",
          "[unit][control]") {
    const auto refusal = GENERATE(Errc::unknown_request, Errc::wrong_state);
    const FakeTapback tapback([&](const ipc::Request& request) {
        if (request.name == "about") throw_error(refusal, "\"about\"");
        return answer(request);
    });
    const TapCtl tap_ctl(tapback.socket());
    const auto info = tap_ctl.run({"info", "5/xvda"});
    CHECK(info.status == 0);
    CHECK(info.err.empty());
    CHECK_THAT(info.out, Catch::Contains("version         -\nrunning         -\n"));
    CHECK_FALSE(Json::parse(tap_ctl.run({"info", "5/xvda", "--json"}).out).contains("tapdisk"));
    const auto list = tap_ctl.run({"list", "--tapdisks"});
    CHECK(list.status == 0);
    CHECK(list.err.empty());
    CHECK_THAT(list.out, Catch::Contains("  -        -        connected\n"));
}

TEST_CASE("tap-ctl: tapdisks that do not answer delay a list once, and those that do answer are in it",
          "[unit][control]") {
    std::atomic<std::uint32_t> asked{0};
    const FakeTapback tapback([&](const ipc::Request& request) {
        if (request.name == "about" && ++asked % 3 == 0) throw FakeTapback::Silence{};
        return answer(request);
    });
    const auto began = std::chrono::steady_clock::now();
    const Json all = Json::parse(TapCtl(tapback.socket()).run({"list", "--tapdisks", "--json"}).out).at("vbds");
    // One after the other it would be minutes.
    CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(60));
    CHECK(asked == vbds);
    for (std::uint32_t i = 0; i < vbds; ++i)
        CHECK(all.at(i).contains("tapdisk") == ((i + 1) % 3 != 0));
}

TEST_CASE("tap-ctl: pauses and resumes", "[unit][control]") {
    const FakeTapback tapback(answer);
    const TapCtl tap_ctl(tapback.socket());
    const auto paused = tap_ctl.run({"pause", "5/xvda"});
    CHECK(paused.status == 0);
    CHECK(paused.out.empty());
    CHECK(tap_ctl.run({"resume", "5/xvda"}).status == 0);
    CHECK(tap_ctl.run({"resume", "5/xvda", "--image", "raw:/new?size=1G", "--read-only", "--accept-loss"}).status == 0);
    const Json vbd{{"domain", 5}, {"device", 51712}};
    CHECK(tapback.asked().at(0) == FakeTapback::Asked{"pause", vbd, 0});
    CHECK(tapback.asked().at(1).arguments == Json{{"domain", 5}, {"device", 51712}, {"accept-loss", false}});
    const auto last = tapback.asked().at(2).arguments.get<ipc::VbdResume>();
    CHECK(last.accept_loss);
    CHECK(last.image == ipc::ImageArguments{"raw", "/new", true, {{"size", "1G"}}});
    CHECK(tap_ctl.run({"resume", "5/xvda", "--read-only"}).status == 2);
}

TEST_CASE("tap-ctl: resizes to a size with a unit, and refuses what is none", "[unit][control]") {
    const FakeTapback tapback(answer);
    const TapCtl tap_ctl(tapback.socket());
    CHECK(tap_ctl.run({"resize", "5/xvda", "20G"}).status == 0);
    CHECK(tapback.asked().at(0).request == "resize");
    CHECK(tapback.asked().at(0).arguments.get<ipc::VbdResize>() == ipc::VbdResize{{5, 51712}, 20ULL << 30});
    CHECK(tap_ctl.run({"resize", "5/xvda", "large"}).status == 1);
    CHECK(tap_ctl.run({"resize", "5/xvda"}).status == 2);
    CHECK(tapback.asked().size() == 1);
}

TEST_CASE("tap-ctl: a disk may be named by the path of its image", "[unit][control]") {
    const testing::TemporaryDirectory directory;
    const std::string image = directory.path("a.img");
    std::ofstream(image).put('a');
    const std::string link = directory.path("link.img");
    std::filesystem::create_symlink(image, link);
    const FakeTapback tapback([&](const ipc::Request& request) -> Json {
        if (request.name != "list") return answer(request);
        auto served = entry(51712);
        auto shared = entry(1);
        auto sharing = entry(2);
        served.image->path = image;
        sharing.image->path = shared.image->path;
        return ipc::ListResult{{shared, served, sharing}, false};
    });
    const TapCtl tap_ctl(tapback.socket());
    CHECK(tap_ctl.run({"resize", image, "20G"}).status == 0);
    CHECK(tapback.asked().at(1).arguments.get<ipc::VbdResize>() == ipc::VbdResize{{5, 51712}, 20ULL << 30});
    CHECK(tap_ctl.run({"info", link}).status == 0);
    CHECK(tapback.asked().at(3).arguments.get<ipc::VbdArguments>() == ipc::VbdArguments{5, 51712});
    CHECK_THAT(tap_ctl.run({"pause", "/srv/other"}).err, Catch::Contains("no disk is served from '/srv/other'"));
    CHECK_THAT(tap_ctl.run({"pause", "/srv/1"}).err, Catch::Contains("several disks are served from '/srv/1'"));
}

TEST_CASE("tap-ctl: records into a new file, whose descriptor goes along", "[unit][control]") {
    const FakeTapback tapback(answer);
    const TapCtl tap_ctl(tapback.socket());
    const testing::TemporaryDirectory directory;
    const std::string trace = directory.path("boot.trace");
    CHECK(tap_ctl.run({"record", "start", "5/xvda", trace}).status == 0);
    CHECK(tapback.asked().at(0).descriptors == 1);
    struct stat status {};
    REQUIRE(::stat(trace.c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0600);

    const auto again = tap_ctl.run({"record", "start", "5/xvda", trace});
    CHECK(again.status == 1);
    CHECK(again.err == "tap-ctl: " + trace + ": File exists\n");
    CHECK(tap_ctl.run({"record", "stop", "5/xvda"}).status == 0);
    CHECK(tapback.asked().at(1).arguments == Json{{"domain", 5}, {"device", 51712}, {"action", "stop"}});
}

TEST_CASE("tap-ctl: a recording that does not start leaves no file", "[unit][control]") {
    const FakeTapback tapback([](const ipc::Request&) -> Json { throw_error(Errc::wrong_state, "no image is open"); });
    const testing::TemporaryDirectory directory;
    const auto result = TapCtl(tapback.socket()).run({"record", "start", "5/xvda", directory.path("boot.trace")});
    CHECK(result.status == 1);
    CHECK_FALSE(std::filesystem::exists(directory.path("boot.trace")));
}

TEST_CASE("tap-ctl: plugs and unplugs", "[unit][control]") {
    const FakeTapback tapback(answer);
    const TapCtl tap_ctl(tapback.socket());
    const auto plugged =
        tap_ctl.run({"plug", "--domain", "0", "--device", "xvdb", "--image", "raw:/srv/a", "--read-only"});
    CHECK(plugged.out == "0/51728 is xvdb of domain 0: 1.0 MiB, read-only\n");
    const auto arguments = tapback.asked().at(0).arguments.get<ipc::Plug>();
    CHECK(arguments == ipc::Plug{{0, 51728}, {"raw", "/srv/a", true, {}}});
    const auto refused = tap_ctl.run({"unplug", "5/xvdb", "--force"});
    CHECK(refused.status == 1);
    CHECK_THAT(refused.err, Catch::StartsWith("tap-ctl: 5/51728 was not made by plug: use the toolstack"));
    CHECK(tapback.asked().at(1).arguments == Json{{"domain", 5}, {"device", 51728}, {"force", true}});
    tap_ctl.run({"unplug", "--domain", "5", "--device", "xvdb"});
    CHECK(tapback.asked().at(2).arguments == Json{{"domain", 5}, {"device", 51728}, {"force", false}});
}

TEST_CASE("tap-ctl: wrong usage is 2, and a bad name is judged before anybody is asked", "[unit][control]") {
    const FakeTapback tapback(answer);
    const TapCtl tap_ctl(tapback.socket());
    for (const auto& wrong : std::vector<std::vector<std::string>>{
             {}, {"fly"}, {"info"}, {"info", "5/xvda", "more"}, {"record"}, {"unplug", "5/xvda", "--domain", "5"}}) {
        const auto result = tap_ctl.run(wrong);
        CHECK(result.status == 2);
        CHECK(result.out.empty());
        CHECK_FALSE(result.err.empty());
    }
    CHECK(tap_ctl.run({"--help"}).status == 0);
    CHECK_THAT(tap_ctl.run({"--version"}).out, Catch::StartsWith("tap-ctl "));
    for (const auto& bad : std::vector<std::vector<std::string>>{
             {"unplug"}, {"resume", "5/xvda", "--image", "/srv/a"}, {"resume", "5/xvda", "--image", "raw:a"}}) {
        const auto result = tap_ctl.run(bad);
        CHECK(result.status == 1);
        CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
    }
    CHECK(tapback.asked().empty());
}

TEST_CASE("tap-ctl: the program is this code", "[unit][control]") {
    const FakeTapback tapback(answer);
    const testing::TemporaryDirectory directory;
    const testing::ProcessOptions options{.environment = {"TAPBACK_SOCKET=" + tapback.socket()},
                                          .output = directory.path("out")};
    CHECK(testing::run({BLKTAP_BIN_DIR "/tap-ctl", "status"}, options, std::chrono::seconds(20)) == 0);
    CHECK(testing::read_file(directory.path("out")) == "tapback 0.1.0, pid 99: 1 disk\n");
}

}  // namespace blktap
