// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/frontend_keys.hpp"

#include <map>

#include "tests/support/catch.hpp"

using namespace blktap;
using namespace blktap::tapback;

namespace {

using Nodes = std::map<std::string, std::string>;

ipc::ConnectArguments read(const Nodes& nodes) {
    const auto reader = [&](const std::string& name) -> std::optional<std::string> {
        const auto found = nodes.find(name);
        if (found == nodes.end()) return std::nullopt;
        return found->second;
    };
    return read_frontend(reader, [] { return std::string("x86_32-abi"); });
}

const Nodes plain{{"ring-ref", "8"}, {"event-channel", "9"}, {"protocol", "x86_64-abi"}};

Nodes with(Nodes nodes, const Nodes& more) {
    for (const auto& [name, value] : more)
        nodes[name] = value;
    return nodes;
}

}  // namespace

TEST_CASE("frontend keys: one page, the oldest dialect", "[unit]") {
    const auto frontend = read(plain);
    CHECK(frontend.protocol == "x86_64-abi");
    CHECK_FALSE(frontend.persistent);
    CHECK(frontend.queues == std::vector<ipc::QueueArguments>{{{8}, 9}});
}

TEST_CASE("frontend keys: pages by order, and by number", "[unit]") {
    const Nodes pages{{"ring-ref0", "1"}, {"ring-ref1", "2"}, {"event-channel", "3"}, {"feature-persistent", "1"}};
    for (const Nodes& dialect : {Nodes{{"ring-page-order", "1"}}, Nodes{{"num-ring-pages", "2"}}}) {
        const auto frontend = read(with(pages, dialect));
        CHECK(frontend.queues == std::vector<ipc::QueueArguments>{{{1, 2}, 3}});
        CHECK(frontend.persistent);
        CHECK(frontend.protocol == "x86_32-abi");  // it named none
    }
    CHECK(read(with(plain, {{"ring-page-order", "0"}})).queues.front().ring_refs == std::vector<std::uint32_t>{8});
    CHECK(read(with(plain, {{"ring-page-order", "0"}, {"ring-ref0", "5"}})).queues.front().ring_refs ==
          std::vector<std::uint32_t>{5});
}

TEST_CASE("frontend keys: several queues", "[unit]") {
    const auto frontend = read({{"multi-queue-num-queues", "2"},
                                {"queue-0/ring-ref", "1"},
                                {"queue-0/event-channel", "2"},
                                {"queue-1/ring-ref", "3"},
                                {"queue-1/event-channel", "4"}});
    CHECK(frontend.queues == std::vector<ipc::QueueArguments>{{{1}, 2}, {{3}, 4}});
}

TEST_CASE("frontend keys: nonsense is an error that names the node", "[unit]") {
    const std::vector<Nodes> wrong{{{"ring-ref", "x"}},
                                   {{"ring-ref", ""}},
                                   {{"ring-ref", "-1"}},
                                   {{"ring-ref", "4294967296"}},
                                   {{"event-channel", "9 "}},
                                   {{"ring-page-order", "5"}},
                                   {{"ring-page-order", "99999999999"}},
                                   {{"num-ring-pages", "3"}},
                                   {{"num-ring-pages", "0"}},
                                   {{"multi-queue-num-queues", "0"}},
                                   {{"multi-queue-num-queues", "1000"}},
                                   {{"protocol", "arm-abi"}},
                                   {{"protocol", std::string(4096, 'x')}}};
    for (const Nodes& nodes : wrong) {
        INFO(nodes.begin()->first);
        try {
            read(with(plain, nodes));
            FAIL("was taken");
        } catch (const std::system_error& error) {
            CHECK(error.code() == Errc::bad_message);
            CHECK(std::string(error.what()).find(nodes.begin()->first) != std::string::npos);
            CHECK(std::string(error.what()).size() < 300);
        }
    }
}
