// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/xenbus/frontend_keys.hpp"

#include <map>

#include "tests/support/catch.hpp"

using namespace blktap;
using namespace blktap::tapback;

namespace {

using Nodes = std::map<std::string, std::string>;

NodeReader reader_of(const Nodes& nodes) {
    return [&nodes](const std::string& name) -> std::optional<std::string> {
        const auto found = nodes.find(name);
        if (found == nodes.end()) return std::nullopt;
        return found->second;
    };
}

const Nodes generous{{"multi-queue-max-queues", "16"}, {"max-ring-page-order", "4"}, {"max-ring-pages", "16"}};

ipc::ConnectArguments read(const Nodes& nodes, const Nodes& offers = generous) {
    return read_frontend(reader_of(nodes), reader_of(offers), [] { return std::string("x86_32-abi"); });
}

std::string refusal(const Nodes& nodes, const Nodes& offers) {
    try {
        read(nodes, offers);
    } catch (const std::system_error& error) {
        CHECK(error.code() == Errc::bad_message);
        return error.what();
    }
    return "taken";
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

TEST_CASE("frontend keys: no more is taken than was offered", "[unit]") {
    const Nodes queues{{"multi-queue-num-queues", "2"},
                       {"queue-0/ring-ref", "1"},
                       {"queue-0/event-channel", "2"},
                       {"queue-1/ring-ref", "3"},
                       {"queue-1/event-channel", "4"}};
    CHECK(read(queues, {{"multi-queue-max-queues", "2"}}).queues.size() == 2);
    CHECK_THAT(refusal(queues, {{"multi-queue-max-queues", "1"}}),
               Catch::Contains("multi-queue-num-queues") && Catch::Contains("more than the 1 offered"));
    const Nodes pages{{"ring-ref0", "1"}, {"ring-ref1", "2"}, {"event-channel", "3"}};
    CHECK_THAT(refusal(with(pages, {{"ring-page-order", "1"}}), {{"max-ring-page-order", "0"}}),
               Catch::Contains("ring-page-order") && Catch::Contains("more than the 0 offered"));
    CHECK_THAT(refusal(with(pages, {{"num-ring-pages", "2"}}), {{"max-ring-pages", "1"}}),
               Catch::Contains("num-ring-pages") && Catch::Contains("more than the 1 offered"));
}

TEST_CASE("frontend keys: without an offer one queue of one page is taken, and no more", "[unit]") {
    CHECK(read(plain, {}).queues.size() == 1);
    CHECK(read(with(plain, {{"multi-queue-num-queues", "1"}, {"ring-page-order", "0"}}), {}).queues.size() == 1);
    CHECK(refusal({{"multi-queue-num-queues", "2"}}, {}) != "taken");
    CHECK(refusal(with(plain, {{"ring-page-order", "1"}}), {}) != "taken");
    CHECK(refusal(with(plain, {{"num-ring-pages", "2"}}), {}) != "taken");
}

TEST_CASE("frontend keys: the offer of another backend does not lift our own limits", "[unit]") {
    const Nodes much{{"multi-queue-max-queues", "64"}, {"max-ring-page-order", "8"}, {"max-ring-pages", "256"}};
    CHECK(refusal({{"multi-queue-num-queues", "17"}}, much) != "taken");
    CHECK(refusal(with(plain, {{"ring-page-order", "5"}}), much) != "taken");
    const Nodes pages{{"ring-page-order", "1"}, {"ring-ref0", "1"}, {"ring-ref1", "2"}, {"event-channel", "3"}};
    CHECK(read(pages, much).queues.front().ring_refs.size() == 2);
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
