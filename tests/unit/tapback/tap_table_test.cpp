// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/tap_table.hpp"

#include "libblktap/base/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/thrown.hpp"

using namespace blktap;
using namespace blktap::tapback;
using blktap::testing::thrown;
using namespace std::chrono_literals;

namespace {

constexpr Nanoseconds noon = 12h;
const ipc::ImageArguments image{"raw", "/images/a", false, {}};

bool nobody(std::uint32_t) {
    return false;
}

/// A tapdisk with a number, at noon.
TapTable with_tap(std::uint32_t pid, std::uint32_t minor) {
    TapTable table;
    table.add(pid, 7, "tap-0.sock", noon);
    table.attach({pid, minor}, nobody, noon);
    return table;
}

}  // namespace

TEST_CASE("tap table: the lowest free number is given, and no disk's", "[unit]") {
    TapTable table;
    const auto taken = [](std::uint32_t minor) { return minor == 1; };
    CHECK(table.allocate(taken, noon) == 0);
    CHECK(table.allocate(taken, noon) == 2);
    table.add(11, 7, "tap-0.sock", noon);
    table.attach({11, 2}, taken, noon);
    table.free(0);
    CHECK(table.allocate(taken, noon) == 0);
    CHECK(table.allocate(taken, noon) == 3);
    table.remove(11);
    CHECK(table.allocate(taken, noon) == 2);
}

TEST_CASE("tap table: a number has one tapdisk, and a tapdisk one number", "[unit]") {
    TapTable table = with_tap(11, 4);
    table.add(12, 7, "tap-1.sock", noon);
    table.attach({11, 4}, nobody, noon);  // once more is nothing new
    CHECK(thrown([&] { table.attach({11, 5}, nobody, noon); }).code() == Errc::wrong_state);
    CHECK(thrown([&] { table.attach({12, 4}, nobody, noon); }).code() == std::errc::device_or_resource_busy);
    CHECK(thrown([&] { table.attach({13, 5}, nobody, noon); }).code() == std::errc::no_such_file_or_directory);
    const auto disk_has_6 = [](std::uint32_t minor) { return minor == 6; };
    CHECK(thrown([&] { table.attach({12, 6}, disk_has_6, noon); }).code() == std::errc::device_or_resource_busy);
    table.attach({12, 5}, nobody, noon);  // nobody allocated it; a tapback before us may have
    CHECK(table.find({12, 5}) != nullptr);
    CHECK(table.find({12, 4}) == nullptr);
    CHECK(table.find(13) == nullptr);
    CHECK(thrown([&] { table.free(4); }).code() == std::errc::device_or_resource_busy);
}

TEST_CASE("tap table: numbers out of range are refused", "[unit]") {
    TapTable table = with_tap(11, TapTable::minors_max - 1);
    const std::uint32_t beyond = TapTable::minors_max;
    CHECK(thrown([&] { table.attach({11, beyond}, nobody, noon); }).code() == std::errc::invalid_argument);
    CHECK(thrown([&] { table.begin_open({11, beyond}, image, noon); }).code() == std::errc::invalid_argument);
    CHECK(thrown([&] { table.free(beyond); }).code() == std::errc::invalid_argument);
}

TEST_CASE("tap table: an image is opened once, by its tapdisk's whole name", "[unit]") {
    TapTable table = with_tap(11, 4);
    CHECK(thrown([&] { table.begin_open({11, 5}, image, noon); }).code() == Errc::wrong_state);
    CHECK(thrown([&] { table.begin_open({12, 4}, image, noon); }).code() == std::errc::no_such_file_or_directory);
    CHECK(table.begin_open({11, 4}, image, noon).image == image);
    CHECK(thrown([&] { table.begin_open({11, 4}, image, noon); }).code() == Errc::wrong_state);
}

TEST_CASE("tap table: what is no disk's is bounded", "[unit]") {
    TapTable table;
    for (std::uint32_t i = 0; i < TapTable::unclaimed_max / 2; ++i) {
        table.add(1000 + i, 7, "tap-" + std::to_string(i) + ".sock", noon);
        table.allocate(nobody, noon);
    }
    CHECK(thrown([&] { table.require_room(); }).code() == std::errc::resource_unavailable_try_again);
    CHECK(thrown([&] { table.allocate(nobody, noon); }).code() == std::errc::resource_unavailable_try_again);
    table.free(0);
    table.require_room();
}

TEST_CASE("tap table: what nobody asks about for a minute ends", "[unit]") {
    TapTable table = with_tap(11, 4);
    CHECK(table.allocate(nobody, noon) == 0);
    CHECK(table.next_deadline() == noon + 1min);
    CHECK(table.expire(noon + 1min - 1ns).empty());
    CHECK(table.numbers().size() == 1);
    table.begin_open({11, 4}, image, noon + 30s);  // a request is a sign of life
    CHECK(table.expire(noon + 1min).empty());
    CHECK(table.numbers().empty());
    CHECK(table.next_deadline() == noon + 90s);
    CHECK(table.expire(noon + 90s) == std::vector<std::uint32_t>{11});
    table.find(11)->ending = true;
    CHECK(table.find(11) == nullptr);
    CHECK(table.expire(noon + 1h).empty());
    CHECK(table.next_deadline() == std::nullopt);
    CHECK_FALSE(table.empty());  // until it is gone
    CHECK(table.allocate(nobody, noon) == 0);
}

TEST_CASE("tap table: a socket's name is nobody else's", "[unit]") {
    TapTable table = with_tap(11, 4);
    CHECK(table.free_socket([](const std::string& name) { return name == "tap-1.sock"; }) == "tap-2.sock");
    CHECK(table.pid_of("tap-0.sock") == 11u);
    CHECK(table.pid_of("tap-1.sock") == std::nullopt);
    CHECK(table.pid_of("") == std::nullopt);
}

TEST_CASE("tap table: another tapback finds what this one had", "[unit]") {
    TapTable table = with_tap(11, 4);
    table.begin_open({11, 4}, image, noon);
    table.add(12, 7, "tap-1.sock", noon);
    table.add(13, 7, "tap-2.sock", noon);
    table.find(13)->ending = true;
    table.allocate(nobody, noon);
    TapTable next = TapTable::from_json(table.to_json(), noon + 1h);
    CHECK(next.taps().size() == 3);
    CHECK(next.taps().at(13).ending);  // the next one sees to it
    CHECK(next.find(13) == nullptr);
    CHECK(next.find(11)->start == 7u);
    CHECK(next.find({11, 4})->image == image);
    CHECK(next.find(11)->socket == "tap-0.sock");
    CHECK_FALSE(next.find(11)->open);  // until its tapdisk says so
    CHECK(next.find(12)->minor == std::nullopt);
    CHECK(next.numbers().size() == 1);
    CHECK(next.next_deadline() == noon + 1h + 1min);
}

TEST_CASE("tap table: a file that is none of ours is refused", "[unit]") {
    const ipc::Json tap{{"pid", 1}, {"socket", "tap-0.sock"}};
    const auto table = [](const ipc::Json& taps, const ipc::Json& numbers) {
        return ipc::Json{{"version", 1}, {"taps", taps}, {"numbers", numbers}};
    };
    const ipc::Json numbers = ipc::Json::array({3});
    const ipc::Json none = ipc::Json::array();
    CHECK(TapTable::from_json(table(ipc::Json::array({tap}), numbers), noon).taps().size() == 1);
    ipc::Json elsewhere = tap;
    elsewhere["socket"] = "../tap-0.sock";
    for (const ipc::Json& wrong : {ipc::Json(), ipc::Json::object(), ipc::Json({{"version", 2}}), table(numbers, none),
                                   table(ipc::Json::array({elsewhere}), none), table(none, ipc::Json::array({"x"})),
                                   table(none, ipc::Json::array({-1})), table(1, none), table(none, 1)}) {
        INFO(wrong.dump());
        CHECK(thrown([&] { TapTable::from_json(wrong, noon); }).code() == Errc::bad_message);
    }
}
