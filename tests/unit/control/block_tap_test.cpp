// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The requests of block-tap, and the exact text that it parses.
#include "control/tap_ctl/block_tap.hpp"

#include "tests/support/catch.hpp"
#include "tests/unit/control/tap_ctl_fixture.hpp"

namespace blktap::tap_ctl {
namespace {

using ipc::Json;
using testing::FakeTapback;
using testing::TapCtl;

const Json taps{{"taps",
                 {{{"pid", 4711}, {"minor", 3}, {"image", {{"format", "raw"}, {"path", "/srv/a.img"}}}},
                  {{"pid", 4712}, {"minor", 4}, {"image", {{"format", "vhd"}, {"path", "/srv/a.img"}}}},
                  {{"pid", 4713}},
                  {{"minor", 9}}}}};

Json answer(const ipc::Request& request) {
    if (request.name == "tap-list") return taps;
    if (request.name == "tap-allocate") return {{"minor", 12}};
    if (request.name == "tap-spawn") return {{"pid", 4714}};
    if (request.name == "tap-open" && request.arguments["image"]["path"] == "/missing") {
        throw_error(std::make_error_code(std::errc::no_such_file_or_directory), "/missing");
    }
    return Json::object();
}

}  // namespace

TEST_CASE("block-tap: finds a tapdisk by type and file", "[unit][control]") {
    const FakeTapback tapback(answer);
    const TapCtl tap_ctl(tapback.socket());
    CHECK(tap_ctl.run({"list", "-t", "aio", "-f", "/srv/a.img"}).out ==
          "pid=4711 minor=3 state=0 args=aio:/srv/a.img\n");
    CHECK(tap_ctl.run({"list", "-t", "vhd", "-f", "/srv/a.img"}).out ==
          "pid=4712 minor=4 state=0 args=vhd:/srv/a.img\n");
    // No match is no failure: the script then makes a tapdisk.
    const auto none = tap_ctl.run({"list", "-t", "aio", "-f", "/srv/b.img"});
    CHECK(none.out.empty());
    CHECK(none.status == 0);
    CHECK(tap_ctl.run({"list", "-m", "9"}).out == "minor=9\n");
    CHECK(tap_ctl.run({"list", "-p", "4713"}).out == "pid=4713 state=0\n");
    CHECK(Json::parse(tap_ctl.run({"list", "-p", "4713", "--json"}).out) == Json{{"taps", {{{"pid", 4713}}}}});
}

TEST_CASE("block-tap: asks on until it has seen all tapdisks", "[unit][control]") {
    const FakeTapback tapback([](const ipc::Request& request) -> Json {
        const auto after = request.arguments.get<ipc::TapList>().after;
        const ipc::TapEntry entry{100 + after, after, ipc::ImageArguments{"raw", "/srv/a.img"}};
        return ipc::TapListResult{{entry}, after < 2};
    });
    const TapCtl tap_ctl(tapback.socket());
    CHECK(tap_ctl.run({"list", "-t", "aio", "-f", "/srv/a.img", "-m", "2"}).out ==
          "pid=102 minor=2 state=0 args=aio:/srv/a.img\n");
    CHECK(tapback.names() == "tap-list tap-list tap-list");
}

TEST_CASE("block-tap: adds a disk", "[unit][control]") {
    const FakeTapback tapback(answer);
    const TapCtl tap_ctl(tapback.socket());
    CHECK(tap_ctl.run({"check"}).status == 0);
    CHECK(tap_ctl.run({"allocate"}).out == "/run/blktap-control/tapdisk/tapdisk-12\n");
    CHECK(tap_ctl.run({"spawn"}).out == "4714\n");
    CHECK(tap_ctl.run({"attach", "-p", "4714", "-m", "12"}).status == 0);
    const auto opened = tap_ctl.run({"open", "-p", "4714", "-m", "12", "-a", "aio:/srv/b?size=1G"});
    CHECK(opened.status == 0);
    CHECK(opened.out.empty());
    CHECK(tapback.names() == "status tap-allocate tap-spawn tap-attach tap-open");
    CHECK(tapback.asked().at(3).arguments == Json{{"pid", 4714}, {"minor", 12}});
    CHECK(tapback.asked().at(4).arguments ==
          Json{{"pid", 4714},
               {"minor", 12},
               {"image", {{"format", "raw"}, {"path", "/srv/b?size=1G"}, {"read-only", false}}}});
}

TEST_CASE("block-tap: removes a disk, and cleans up after one that failed", "[unit][control]") {
    const FakeTapback tapback(answer);
    const TapCtl tap_ctl(tapback.socket());
    const auto failed = tap_ctl.run({"open", "-p", "4714", "-m", "12", "-a", "aio:/missing"});
    CHECK(failed.status == 1);
    CHECK(failed.err == "tap-ctl: /missing: No such file or directory\n");
    CHECK(tap_ctl.run({"detach", "-p", "4714", "-m", "12"}).status == 0);
    CHECK(tap_ctl.run({"free", "-m", "12"}).status == 0);
    CHECK(tap_ctl.run({"destroy", "-p", "4711", "-m", "3"}).status == 0);
    CHECK(tapback.names() == "tap-open tap-destroy tap-free tap-destroy");
    CHECK(tapback.asked().back().arguments == Json{{"pid", 4711}, {"minor", 3}});
}

TEST_CASE("block-tap: the script of older releases is told what to write instead", "[unit][control]") {
    const FakeTapback tapback(answer);
    const auto created = TapCtl(tapback.socket()).run({"create", "-a", "aio:/srv/a.img"});
    CHECK(created.status == 1);
    CHECK_THAT(created.err, Catch::Contains("script=block-tapdisk"));
    CHECK(tapback.asked().empty());
}

TEST_CASE("block-tap: fails when tapback does not run", "[unit][control]") {
    for (const auto& command : std::vector<std::vector<std::string>>{{"check"},
                                                                     {"allocate"},
                                                                     {"spawn"},
                                                                     {"list", "-t", "aio", "-f", "/a"},
                                                                     {"destroy", "-p", "1", "-m", "1"}}) {
        const auto result = TapCtl("/nonexistent/tapback.sock").run(command);
        CHECK(result.status == 1);
        CHECK(result.out.empty());
        CHECK_THAT(result.err, Catch::StartsWith("tap-ctl: tapback is not running: /nonexistent/tapback.sock"));
    }
}

}  // namespace blktap::tap_ctl
