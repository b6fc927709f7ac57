// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/session/local_log_files.hpp"

#include <filesystem>

#include "libblktap/ipc/parts_of_messages.hpp"
#include "tests/unit/tapback/session/revival_host.hpp"

using namespace blktap;
using namespace blktap::tapback;

namespace {

std::size_t files_in(const std::string& directory) {
    const std::filesystem::directory_iterator all(directory);
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

}  // namespace

TEST_CASE("local log files: they are there for the next tapback, until the disk goes", "[unit][tapback]") {
    const testing::TemporaryDirectory directory;
    const LocalLogFiles files(directory.path("5-51712"));
    CHECK(files.open().empty());
    const auto made = files.make();
    REQUIRE(made.size() == ipc::local_logs_max);
    CHECK(files_in(directory.path(".")) == ipc::local_logs_max);
    CHECK(LocalLogFiles(directory.path("5-5171")).open().empty());
    const auto again = LocalLogFiles(directory.path("5-51712")).open();
    REQUIRE(again.size() == made.size());
    for (std::size_t i = 0; i < made.size(); ++i)
        CHECK(std::filesystem::equivalent("/proc/self/fd/" + std::to_string(made[i].get()),
                                          "/proc/self/fd/" + std::to_string(again[i].get())));
    files.remove();
    CHECK(files_in(directory.path(".")) == 0);
    CHECK(LocalLogFiles("/no/such/directory/x").make().empty());
}

TEST_CASE("local log files: each tapdisk of a disk has them, and its successor first of all", "[unit][tapback]") {
    RevivalHost t;
    CHECK(t.tapdisk().logs_given == ipc::local_logs_max);
    CHECK(files_in(t.run_directory) == ipc::local_logs_max);
    t.die();
    CHECK(t.tapdisk().logs_given == 0);
    t.say("closed");
    CHECK(t.tapdisk().asked() == "recover ");
    CHECK(t.tapdisk().logs_given == ipc::local_logs_max);
    CHECK(files_in(t.run_directory) == ipc::local_logs_max);
    t.session->end();
    t.tapdisk().end("exited");
    CHECK(files_in(t.run_directory) == 0);
}

TEST_CASE("local log files: a tapdisk that no disk has yet has none", "[unit][tapback]") {
    SessionHost t;
    DiskSession made({t.loop, t.tapdisks, t.files, t.run_directory}, {"tap 0", "tap-0.sock", false}, t.hooks());
    made.start_idle();
    made.open_image(t.image, [](const auto&) {});
    t.tapdisk().answer(t.device);
    CHECK(t.tapdisk().logs_given == 0);
    CHECK(files_in(t.run_directory) == 0);
    t.session->take(t.tap(false), made);
    t.tapdisk().answer(t.stats("open", t.image));
    CHECK(t.tapdisk().logs_given == ipc::local_logs_max);
}
