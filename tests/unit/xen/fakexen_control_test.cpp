// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "libblktap/xen/event_channel.hpp"
#include "libblktap/xen/shared_pages.hpp"
#include "tests/fakexen/control.hpp"
#include "tests/fakexen/shared_world.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/unit/xen/peer.hpp"
#include "tests/unit/xen/sides.hpp"

namespace fakexen {
namespace {

using namespace blktap::xen;
using blktap::testing::our_domain;
using blktap::testing::Peer;

}  // namespace

TEST_CASE("fakexen: without a world there is no Xen", "[unit][fakexen]") {
    CHECK(xengnttab_open(nullptr, 0) == nullptr);
    CHECK(errno == ENOENT);
    CHECK(xengntshr_open(nullptr, 0) == nullptr);
    CHECK(xenevtchn_open(nullptr, 0) == nullptr);
    CHECK(errno == ENOENT);
}

TEST_CASE("fakexen: a program without FAKEXEN finds no Xen", "[unit][fakexen][process]") {
    Peer lost{{"offer", "0", "1"}, {}};
    CHECK(lost.line() == "xengntshr_open: No such file or directory");
}

TEST_CASE("fakexen: a world's directory goes with it", "[unit][fakexen]") {
    std::string directory;
    {
        const World world;
        directory = world.directory();
        const EventChannelHandle handle;
        CHECK(std::filesystem::exists(directory + "/world"));
    }
    CHECK_FALSE(std::filesystem::exists(directory));
    const World another;
    CHECK(another.ports_of(our_domain) == 0);
}

TEST_CASE("fakexen: a handle keeps the domain that its thread acted as when it was opened", "[unit][fakexen]") {
    const World world;
    ShareHandle of_domain_0;
    const auto of_domain_7 = [] {
        const ActAs outer{3};
        const ActAs inner{7};
        return std::make_unique<ShareHandle>();
    }();
    const SharedPages some{of_domain_0, 1, 1, PageAccess::read_only};
    const SharedPages more{*of_domain_7, 1, 2, PageAccess::read_only};
    CHECK(world.pages_shared_by(0) == 1);
    CHECK(world.pages_shared_by(3) == 0);
    CHECK(world.pages_shared_by(7) == 2);
}

TEST_CASE("fakexen: processes that come at the same moment make one world", "[unit][fakexen][process]") {
    const blktap::testing::TemporaryDirectory parent{"/dev/shm"};
    const std::vector<std::string> environment{"FAKEXEN=" + parent.path("world"), "FAKEXEN_DOMAIN=5"};
    std::vector<std::unique_ptr<Peer>> peers;
    for (int i = 0; i < 8; ++i) {
        peers.push_back(std::make_unique<Peer>(std::vector<std::string>{"offer", "0", "1"}, environment));
    }
    std::vector<std::uint32_t> ports;
    for (const auto& peer : peers)
        ports.push_back(peer->numbers().at(0));
    std::ranges::sort(ports);
    CHECK(ports == std::vector<std::uint32_t>{1, 2, 3, 4, 5, 6, 7, 8});
}

TEST_CASE("fakexen: there is always room for a process, however many were killed before", "[unit][fakexen]") {
    const blktap::testing::TemporaryDirectory parent{"/dev/shm"};
    SharedWorld world{parent.path("world")};
    // As if as many processes as there is room for had been killed.
    for (ProcessId process = 2; process < process_count; ++process)
        world.layout().processes[process].pid = 1;
    const SharedWorld newcomer{parent.path("world")};
    CHECK(is_alive(world, newcomer.self()));
    CHECK(is_alive(newcomer, world.self()));
    CHECK_FALSE(is_alive(world, process_count - 1));
}

}  // namespace fakexen
