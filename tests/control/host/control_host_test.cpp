// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/control/host/control_host.hpp"

#include <filesystem>

#include "tests/control/host/interference.hpp"
#include "tests/support/catch.hpp"

using namespace blktap;
using namespace blktap::control_test;
using namespace std::chrono_literals;

TEST_CASE("control host: tapback answers, and ends when asked", "[control]") {
    ControlHost host;
    const ipc::Json status = host.call("status").result;
    CHECK(status.at("pid") == host.tapback_pid());
    CHECK(status.at("vbds") == 0);
    CHECK(status.at("xenstore") == true);
    CHECK(host.stop_tapback() == 0);
    CHECK_THROWS_AS(host.call("status"), std::system_error);
    host.start_tapback();
}

TEST_CASE("control: tapback logs as much as it is told to while it runs", "[control]") {
    ControlHost host;
    CHECK(host.call("log-level", {{"level", "loud"}}).error_code == "bad-message");
    CHECK(host.call("log-level", {{"level", "error"}}).error_code.empty());
    const std::size_t before = host.logged("stop signal=");
    CHECK(host.stop_tapback() == 0);
    CHECK(host.logged("stop signal=") == before);
    host.start_tapback();  // as its options say again
    CHECK(host.stop_tapback() == 0);
    CHECK(host.logged("stop signal=") == before + 1);
    host.start_tapback();
}

TEST_CASE("control host: a tapback that was killed is replaced in its place", "[control]") {
    ControlHost host;
    const pid_t first = host.tapback_pid();
    host.replace_tapback();
    CHECK(host.tapback_pid() != first);
    CHECK(host.call("status").result.at("pid") == host.tapback_pid());
}

TEST_CASE("control host: the processes of a world are found, and those of no other", "[control]") {
    const std::string world = "/nowhere/of-this-test";
    testing::Process inside({"/bin/sleep", "1000"}, {.environment = {"FAKEXEN=" + world}});
    testing::Process outside({"/bin/sleep", "1000"}, {.environment = {"FAKEXEN=" + world + "-other"}});
    const auto of_world = [&] { return processes_of(world); };
    REQUIRE(testing::wait_until([&] { return of_world().size() == 1; }));
    CHECK(of_world()[0].pid == inside.pid());
    CHECK(testing::wait_until([&] { return of_world().at(0).name == "sleep"; }));
    end_processes_of(world);
    CHECK(of_world().empty());
    CHECK(outside.running());
}

TEST_CASE("control host: the warden ends a world whose test was killed", "[control]") {
    const testing::TemporaryDirectory directory;
    const std::string world = directory.path("world");
    std::filesystem::create_directory(world);
    testing::Process lost({"/bin/sleep", "1000"}, {.environment = {"FAKEXEN=" + world}});
    REQUIRE(testing::wait_until([&] { return processes_of(world).size() == 1; }));
    {
        testing::Process warden({WORLD_WARDEN, world}, {.reads_pipe = true, .outlives_us = true});
        CHECK(warden.wait(10s) == 0);
        CHECK(lost.running());
    }
    CHECK(lost.wait(10s) == 137);
    CHECK(testing::wait_until([&] { return !std::filesystem::exists(world); }));
}

TEST_CASE("interference: happens after the change that it was told, once", "[control]") {
    ControlHost host;
    std::atomic<int> times = 0;
    Interference interference("/local/there", 2, [&] { ++times; });
    Interference never("/local/there", 100, [&] { ++times; });
    host.store().write("/local/elsewhere", "1");
    host.store().write("/local/there", "1");
    std::this_thread::sleep_for(30ms);
    CHECK(times == 0);
    host.store().write("/local/there/below", "1");
    CHECK(testing::wait_until([&] { return times == 1; }));
    host.store().write("/local/there", "2");
    CHECK(interference.end());
    CHECK_FALSE(never.end());
    CHECK(times == 1);
}
