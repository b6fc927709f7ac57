// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/replay/frontend/xenstore_nodes.hpp"

#include <algorithm>

#include "tests/support/catch.hpp"
#include "tests/support/xenstored.hpp"

using namespace blktap;
using namespace blktap::replay;

TEST_CASE("xenstore nodes: a state that is none of xenbus's is none", "[unit][replay]") {
    const testing::Xenstored xenstored;
    const XenStore store;
    CHECK(read_state(store, "/front") == XenbusState::none);
    for (const char* text : {"", "x", "4x", " 4", "-1", "7", "99999999999999999999"}) {
        store.write("/front/state", text);
        CHECK(read_state(store, "/front") == XenbusState::none);
    }
    store.write("/front/state", "4");
    CHECK(read_state(store, "/front") == XenbusState::connected);
}

TEST_CASE("xenstore nodes: a backend that says nothing offers one queue of one page", "[unit][replay]") {
    const testing::Xenstored xenstored;
    const XenStore store;
    CHECK(read_offers(store, "/back").queues_max == 1);
    CHECK(read_offers(store, "/back").ring_order_max == 0);
    store.write("/back/multi-queue-max-queues", "8");
    store.write("/back/max-ring-page-order", "4");
    CHECK(read_offers(store, "/back").queues_max == 8);
    CHECK(read_offers(store, "/back").ring_order_max == 4);
}

TEST_CASE("xenstore nodes: several queues of several pages have a node each", "[unit][replay]") {
    const testing::Xenstored xenstored;
    const XenStore store;
    ipc::ConnectArguments rings;
    rings.queues = {{{8, 9}, 3}, {{10, 11}, 4}};
    rings.persistent = true;
    write_rings(store, "/front", rings, {});
    const std::vector<std::pair<std::string, std::string>> expected{
        {"ring-page-order", "1"},    {"multi-queue-num-queues", "2"}, {"queue-0/ring-ref0", "8"},
        {"queue-0/ring-ref1", "9"},  {"queue-0/event-channel", "3"},  {"queue-1/ring-ref0", "10"},
        {"queue-1/ring-ref1", "11"}, {"queue-1/event-channel", "4"},  {"feature-persistent", "1"},
    };
    for (const auto& [name, value] : expected)
        CHECK(store.read("/front/" + name) == value);
    CHECK_FALSE(store.read("/front/ring-ref"));
    CHECK_FALSE(store.read("/front/event-channel"));
}

TEST_CASE("xenstore nodes: rings of before are not mixed with those of now", "[unit][replay]") {
    const testing::Xenstored xenstored;
    const XenStore store;
    store.write("/front/backend", "/back");
    ipc::ConnectArguments rings;
    rings.queues = {{{8, 9}, 3}, {{10, 11}, 4}};
    write_rings(store, "/front", rings, {});
    rings.queues = {{{12}, 5}};
    write_rings(store, "/front", rings, {.omit_protocol = true});
    auto names = store.list("/front");
    std::ranges::sort(names);
    CHECK(names == std::vector<std::string>{"backend", "event-channel", "feature-persistent", "ring-ref"});
}
