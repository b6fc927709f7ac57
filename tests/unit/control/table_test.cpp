// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tap_ctl/table.hpp"

#include <algorithm>
#include <sstream>

#include "tests/support/catch.hpp"

namespace blktap::tap_ctl {
namespace {

using ipc::Json;

template <class Print>
std::string printed(Print print) {
    std::ostringstream out;
    print(out);
    return out.str();
}

ipc::VbdEntry entry(std::uint16_t domain) {
    ipc::VbdEntry vbd;
    vbd.backend = {ipc::VbdAddress::Kind::vbd, domain, 51712};
    vbd.state = "connected";
    return vbd;
}

}  // namespace

TEST_CASE("table: columns are as wide as their widest cell", "[unit][control]") {
    const auto table = printed([](std::ostream& out) {
        print_table(out, {{"A", "LONG", "C"}, {"wide", "x", "1"}, {"\xc3\xa9", "y"}, {}});
    });
    CHECK(table ==
          "A     LONG  C\n"
          "wide  x     1\n"
          "\xc3\xa9     y\n"
          "\n");
}

TEST_CASE("table: no text can move the cursor or forge a line", "[unit][control]") {
    CHECK(printable("a\nb\x1b[2J\x7f") == "a\\x0ab\\x1b[2J\\x7f");
    CHECK(printable("\xc2\x9b\x31") == "\\xc2\\x9b1");
    CHECK(printable("/srv/\xff.img") == "/srv/\\xff.img");
    CHECK(printable("\xc3\xa9\xc2\xa0") == "\xc3\xa9\xc2\xa0");
    ipc::VbdEntry vbd = entry(5);
    vbd.problem = "gone\n6/51712: fine";
    vbd.image = ipc::ImageArguments{"raw", "/a\nb", false, {}};
    const auto list = printed([&](std::ostream& out) { print_list(out, {{vbd}}); });
    CHECK(std::count(list.begin(), list.end(), '\n') == 3);
}

TEST_CASE("table: sizes in the unit that people use", "[unit][control]") {
    CHECK(size_text(0) == "0 B");
    CHECK(size_text(1) == "512 B");
    CHECK(size_text(2) == "1.0 KiB");
    CHECK(size_text(3) == "1.5 KiB");
    CHECK(size_text(20971520) == "10.0 GiB");
    CHECK(size_text(20971519) == "9.9 GiB");
    CHECK(size_text(18446744073709551615u) == "7.9 ZiB");
}

TEST_CASE("table: an image is written as it is named on a command line", "[unit][control]") {
    CHECK(image_text({"raw", "/a", false, {}}) == "raw:/a");
    CHECK(image_text({"raw", "/a", true, {{"size", "1G"}, {"x", "y"}}}) == "raw:/a?size=1G&x=y (read-only)");
}

TEST_CASE("table: the list has a line for each VBD, and one for each problem", "[unit][control]") {
    ipc::VbdEntry first = entry(5);
    first.pid = 4711;
    first.image = ipc::ImageArguments{"raw", "/srv/a.img", true, {}};
    ipc::VbdEntry second = entry(12);
    second.state = "waiting for space";
    second.problem = "the file system of /srv/b.img is full";
    CHECK(printed([&](std::ostream& out) {
              print_list(out, {{first, second}});
          }) ==
          "VBD       DEVICE  PID   STATE              IMAGE\n"
          "5/51712   xvda    4711  connected          raw:/srv/a.img (read-only)\n"
          "12/51712  xvda    -     waiting for space  -\n"
          "12/51712: the file system of /srv/b.img is full\n");
    CHECK(printed([&](std::ostream& out) { print_list(out, {}); }) == "VBD  DEVICE  PID  STATE  IMAGE\n");
}

TEST_CASE("table: the list says when tapdisks have no sandbox", "[unit][control]") {
    ipc::ListResult list;
    list.sandbox = "off";
    CHECK_THAT(printed([&](std::ostream& out) { print_list(out, list); }),
               Catch::Contains("\ntapdisk.conf has sandbox = off: for debugging only\n"));
}

TEST_CASE("table: all about a VBD, states of xenbus with their names", "[unit][control]") {
    ipc::VbdEntry vbd = entry(5);
    vbd.backend_state = 4;
    vbd.frontend_state = 99;
    vbd.minor = 3;
    vbd.problem = "why";
    vbd.description = ipc::DeviceDescription{.size_sectors = 2048, .discard = true, .discard_granularity_bytes = 4096};
    const auto info = printed([&](std::ostream& out) { print_info(out, {vbd, std::nullopt}); });
    for (const char* line :
         {"vbd              5/51712\n", "backend          backend/vbd/5/51712\n", "backend state    4 (Connected)\n",
          "frontend state   99 (unknown)\n", "size             2048 sectors, 1.0 MiB\n", "discard          4096 B\n",
          "problem          why\n", "minor            3\n", "pid              -\n", "version          -\n",
          "running          -\n"})
        CHECK_THAT(info, Catch::Contains(line));
}

TEST_CASE("table: how long something has run is told in one unit, rounded down", "[unit][control]") {
    CHECK(duration_text(0) == "0 s");
    CHECK(duration_text(59) == "59 s");
    CHECK(duration_text(60) == "1 min");
    CHECK(duration_text(2 * 3600 - 1) == "119 min");
    CHECK(duration_text(2 * 3600) == "2 h");
    CHECK(duration_text(48 * 3600 - 1) == "47 h");
    CHECK(duration_text(48 * 3600) == "2 days");
    CHECK(duration_text(~0ULL) == "213503982334601 days");
}

TEST_CASE("table: which version serves each disk; what is not known is a dash, and nothing moves a terminal's cursor",
          "[unit][control]") {
    ipc::VbdEntry vbd;
    vbd.backend = {ipc::VbdAddress::Kind::vbd, 5, 51712};
    vbd.state = "connected";
    vbd.pid = 4711;
    const ipc::AboutResult about{"0.1.0\x1b[2J", 4711, 86400 * 3, 1, "on"};
    CHECK(printed([&](std::ostream& out) {
              print_tapdisks(out, {{vbd, about}, {vbd, std::nullopt}});
          }) ==
          "VBD      DEVICE  PID   VERSION       RUNNING  SANDBOX  STATE\n"
          "5/51712  xvda    4711  0.1.0\\x1b[2J  3 days   on       connected\n"
          "5/51712  xvda    4711  -             -        -        connected\n");
    const auto info = printed([&](std::ostream& out) { print_info(out, {vbd, about}); });
    CHECK_THAT(info, Catch::Contains("version         0.1.0\\x1b[2J\nrunning         3 days\n"));
}

TEST_CASE("table: statistics are lines of names and values", "[unit][control]") {
    const Json stats{{"aio", {{"slots", 48}, {"none", Json::object()}}}, {"state", "open"}, {"list", {1, 2}}};
    CHECK(printed([&](std::ostream& out) { print_values(out, stats); }) ==
          "aio.slots  48\n"
          "list.0     1\n"
          "list.1     2\n"
          "state      open\n");
}

}  // namespace blktap::tap_ctl
