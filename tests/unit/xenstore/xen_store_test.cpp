// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Against the real xenstored and the real libxenstore.
#include "libblktap/xenstore/xen_store.hpp"

#include <algorithm>
#include <poll.h>
#include <set>

#include "libblktap/base/clock.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/thrown.hpp"
#include "tests/support/xenstored.hpp"

using namespace blktap;
using blktap::testing::thrown;
using blktap::testing::wait_until;
using blktap::testing::Xenstored;
using namespace std::chrono_literals;

namespace {

bool is_readable(const XenStore& store, int limit_ms) {
    pollfd events{.fd = store.fd(), .events = POLLIN, .revents = 0};
    return ::poll(&events, 1, limit_ms) == 1;
}

/// The next event; waits for it on the descriptor, as an event loop does.
std::optional<XenStore::Event> wait_for_event(const XenStore& store) {
    if (!is_readable(store, 10'000)) return std::nullopt;
    return store.next_event();
}

std::string path_of(const std::optional<XenStore::Event>& event) {
    return event ? event->path : "no event";
}

/// Owner and reader of a node, as libxenstore says.
std::vector<std::pair<unsigned, int>> permissions_of(const std::string& path) {
    xs_handle* const handle = xs_open(0);
    unsigned count = 0;
    xs_permissions* const permissions = xs_get_permissions(handle, XBT_NULL, path.c_str(), &count);
    std::vector<std::pair<unsigned, int>> result;
    for (unsigned i = 0; permissions != nullptr && i < count; ++i)
        result.emplace_back(permissions[i].id, static_cast<int>(permissions[i].perms));
    std::free(permissions);
    xs_close(handle);
    return result;
}

struct Store {
    Xenstored xenstored;
    XenStore store;
};

}  // namespace

TEST_CASE("xen store: a node that is not there is no value, and no error", "[unit][xenstore]") {
    const Store it;
    CHECK(it.store.read("backend/vbd3/5/51712/state") == std::nullopt);
    CHECK(it.store.list("backend").empty());
    CHECK_NOTHROW(it.store.remove("backend"));
}

TEST_CASE("xen store: a value comes back byte for byte", "[unit][xenstore]") {
    const Store it;
    const std::string value = GENERATE(as<std::string>(), "", "1", "aio:/a b,c", std::string("\0\xff\n", 3));
    it.store.write("node", value);
    CHECK(it.store.read("node") == value);
    it.store.write("node", "another");
    CHECK(it.store.read("node") == "another");
}

TEST_CASE("xen store: numbers are written in decimal", "[unit][xenstore]") {
    const Store it;
    it.store.write_number("sectors", 18446744073709551615u);
    CHECK(it.store.read("sectors") == "18446744073709551615");
}

TEST_CASE("xen store: a relative path begins at our own domain's directory", "[unit][xenstore]") {
    const Store it;
    it.store.write("backend/vbd3/5/51712/state", "2");
    CHECK(it.store.read("/local/domain/0/backend/vbd3/5/51712/state") == "2");
}

TEST_CASE("xen store: lists children, and removes a node with all below it", "[unit][xenstore]") {
    const Store it;
    for (const char* device : {"51712", "51728", "51744"})
        it.store.write(std::string("backend/vbd/5/") + device + "/state", "1");
    const auto children = it.store.list("backend/vbd/5");
    CHECK(std::set(children.begin(), children.end()) == std::set<std::string>{"51712", "51728", "51744"});
    it.store.remove("backend/vbd/5/51728");
    CHECK(it.store.list("backend/vbd/5").size() == 2);
    CHECK(it.store.read("backend/vbd/5/51728/state") == std::nullopt);
    CHECK(it.store.read("backend/vbd/5/51744/state") == "1");
}

TEST_CASE("xen store: permissions name an owner and one reader, and are inherited", "[unit][xenstore]") {
    const Store it;
    it.store.write("backend/vbd3/5/51712", "");
    it.store.set_permissions("backend/vbd3/5/51712", 0, 5);
    it.store.write("backend/vbd3/5/51712/state", "1");
    const std::vector<std::pair<unsigned, int>> expected{{0, XS_PERM_NONE}, {5, XS_PERM_READ}};
    CHECK(permissions_of("backend/vbd3/5/51712") == expected);
    CHECK(permissions_of("backend/vbd3/5/51712/state") == expected);
    it.store.set_permissions("backend/vbd3/5/51712/state", 0, 0);
    CHECK(permissions_of("backend/vbd3/5/51712/state").size() == 1);
}

TEST_CASE("xen store: a path that cannot be is an error that names it", "[unit][xenstore]") {
    const Store it;
    const auto error = thrown([&] { it.store.write("backend//x", "1"); });
    CHECK(error.code() == std::errc::invalid_argument);
    CHECK_THAT(error.what(), Catch::Contains("backend//x"));
    CHECK(thrown([&] { it.store.read("a b"); }).code() == std::errc::invalid_argument);
}

TEST_CASE("xen store: nobody sees a transaction before it is committed", "[unit][xenstore]") {
    const Store it;
    const XenStore other;
    it.store.transact([&](StoreTransaction& transaction) {
        transaction.write("a", "1");
        transaction.write("b", "2");
        CHECK(transaction.read("a") == "1");
        CHECK(other.read("a") == std::nullopt);
    });
    CHECK(other.read("a") == "1");
    CHECK(other.read("b") == "2");
}

TEST_CASE("xen store: a transaction that its work gives up writes nothing", "[unit][xenstore]") {
    const Store it;
    const auto work = [](StoreTransaction& transaction) {
        transaction.write("a", "1");
        throw std::runtime_error("no");
    };
    CHECK_THROWS_AS(it.store.transact(work), std::runtime_error);
    CHECK(it.store.read("a") == std::nullopt);
    it.store.write("a", "2");  // the connection is free for others
    CHECK(it.store.read("a") == "2");
}

TEST_CASE("xen store: a transaction runs again when others changed what it read", "[unit][xenstore]") {
    const Store it;
    const XenStore other;
    it.store.write("state", "1");
    int runs = 0;
    it.store.transact([&](StoreTransaction& transaction) {
        const auto before = transaction.read("state");
        if (++runs == 1) other.write("state", "5");
        transaction.write("seen", before.value());
    });
    CHECK(runs == 2);
    CHECK(it.store.read("seen") == "5");
}

TEST_CASE("xen store: a transaction that others never let through is given up", "[unit][xenstore]") {
    const Store it;
    const XenStore other;
    int runs = 0;
    const auto work = [&](StoreTransaction& transaction) {
        other.write_number("state", static_cast<std::uint64_t>(++runs));
        transaction.read("state");
        other.write("state", "changed");
        transaction.write("mine", "1");
    };
    CHECK(thrown([&] { it.store.transact(work); }).code() == std::errc::resource_unavailable_try_again);
    CHECK(runs == 100);
    CHECK(it.store.read("mine") == std::nullopt);
}

TEST_CASE("xen store: a watch reports itself at once, then each change below its path", "[unit][xenstore]") {
    const Store it;
    const XenStore other;
    CHECK(it.store.next_event() == std::nullopt);
    it.store.watch("backend/vbd3", "disks");
    CHECK(path_of(wait_for_event(it.store)) == "backend/vbd3");
    CHECK_FALSE(is_readable(it.store, 0));

    other.write("backend/vbd3/5/51712/state", "1");
    other.write("backend/vbd/5/51712/state", "1");  // not below it
    const auto event = wait_for_event(it.store);
    CHECK(path_of(event) == "backend/vbd3/5/51712/state");
    CHECK(event->token == "disks");
    other.remove("backend/vbd3/5");
    CHECK(path_of(wait_for_event(it.store)) == "backend/vbd3/5");
    CHECK_FALSE(is_readable(it.store, 50));
    CHECK(it.store.next_event() == std::nullopt);
}

TEST_CASE("xen store: the descriptor stays readable while there are events", "[unit][xenstore]") {
    const Store it;
    for (const char* path : {"a", "b", "c"})
        it.store.watch(path, path);
    for (int events = 0; events < 3; ++events) {
        REQUIRE(is_readable(it.store, 10'000));
        REQUIRE(it.store.next_event());
    }
    CHECK_FALSE(is_readable(it.store, 50));
}

TEST_CASE("xen store: to watch twice is to watch once", "[unit][xenstore]") {
    const Store it;
    it.store.watch("a", "token");
    CHECK(wait_for_event(it.store));
    CHECK_NOTHROW(it.store.watch("a", "token"));
    it.store.write("a", "1");
    CHECK(wait_for_event(it.store));
    CHECK_FALSE(is_readable(it.store, 50));
}

TEST_CASE("xen store: a watch that ended says nothing any more, not even what it had to say", "[unit][xenstore]") {
    const Store it;
    it.store.watch("a", "first");
    it.store.watch("b", "second");
    for (int i = 0; i < 10; ++i)
        it.store.write("a", std::to_string(i));
    it.store.unwatch("a", "first");
    it.store.write("b", "1");
    for (std::set<std::string> tokens; tokens.count("second") == 0;) {
        const auto event = wait_for_event(it.store);
        REQUIRE(event);
        tokens.insert(event->token);
        CHECK(tokens.count("first") == 0);
    }
    CHECK_NOTHROW(it.store.unwatch("nothing", "of that name"));
}

TEST_CASE("xen store: a domain's end is an event", "[unit][xenstore]") {
    const Store it;
    it.xenstored.introduce(5);
    CHECK(it.store.is_domain_known(5));
    it.store.watch("@releaseDomain", "gone");
    CHECK(path_of(wait_for_event(it.store)) == "@releaseDomain");
    it.xenstored.release(5);
    const auto event = wait_for_event(it.store);
    CHECK(path_of(event) == "@releaseDomain");
    CHECK_FALSE(it.store.is_domain_known(5));
}

TEST_CASE("xen store: without xenstored there is no connection, and the error says to what", "[unit][xenstore]") {
    Xenstored xenstored;
    xenstored.kill();
    const auto error = thrown([] { XenStore store; });
    CHECK(std::string(error.what()).starts_with("xenstored: "));
}

TEST_CASE("xen store: a lost xenstored is never taken for a missing node", "[unit][xenstore]") {
    Store it;
    it.store.write("backend/vbd3/5/51712/state", "4");
    it.store.watch("backend", "watch");
    CHECK(it.store.answers());
    it.xenstored.kill();
    CHECK(wait_until([&] { return !it.store.answers(); }));
    CHECK_THROWS_AS(it.store.read("backend/vbd3/5/51712/state"), std::system_error);
    CHECK_THROWS_AS(it.store.list("backend"), std::system_error);
    CHECK_THROWS_AS(it.store.write("a", "1"), std::system_error);
    CHECK_THROWS_AS(it.store.remove("a"), std::system_error);
    CHECK_THROWS_AS(it.store.watch("b", "watch"), std::system_error);
    CHECK_THROWS_AS(it.store.set_permissions("a", 0, 5), std::system_error);
    CHECK_THROWS_AS(it.store.transact([](StoreTransaction& transaction) { transaction.write("a", "1"); }),
                    std::system_error);
    CHECK_NOTHROW(it.store.unwatch("backend", "watch"));

    it.xenstored.start();
    CHECK_FALSE(it.store.answers());  // this connection is of no more use
    CHECK(XenStore().answers());
}

TEST_CASE("xen store: xenstored dying inside a transaction is an error, and the connection can be closed",
          "[unit][xenstore]") {
    Store it;
    const auto work = [&](StoreTransaction& transaction) {
        transaction.write("a", "1");
        it.xenstored.kill();
    };
    CHECK_THROWS_AS(it.store.transact(work), std::system_error);
}
