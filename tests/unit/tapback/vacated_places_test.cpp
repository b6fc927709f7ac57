// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vacated_places.hpp"

#include <set>
#include <vector>

#include "libblktap/base/error.hpp"
#include "tests/support/catch.hpp"

using namespace blktap;
using namespace blktap::tapback;

namespace {

/// Three places, and what is done about them.
struct Vacated {
    Vacated() {
        for (std::uint16_t domain = 1; domain <= 3; ++domain)
            places.add({ipc::VbdAddress::Kind::vbd3, domain, 51712});
    }

    std::string released{};
    std::string looked_at{};
    std::set<std::string> fails{};
    bool loses_store = false;  ///< what fails is the connection
    bool store_lost = false;
    VacatedPlaces places{{.release = [this](const std::string& name) { released += name + ' '; },
                          .look =
                              [this](const ipc::VbdAddress& place) {
                                  if (fails.contains(place.name())) {
                                      store_lost = loses_store;
                                      throw_error(std::make_error_code(std::errc::broken_pipe), "xenstored");
                                  }
                                  looked_at += place.name() + ' ';
                              },
                          .is_store_lost = [this] { return store_lost; }}};
};

}  // namespace

TEST_CASE("vacated places: each is looked at once, after the requests that have waited for it", "[unit][tapback]") {
    Vacated t;
    t.places.look();
    CHECK(t.released == "1/51712 2/51712 3/51712 ");
    CHECK(t.looked_at == "1/51712 2/51712 3/51712 ");
    t.places.look();
    CHECK(t.looked_at == "1/51712 2/51712 3/51712 ");
}

TEST_CASE("vacated places: one that cannot be looked at is looked at again, and keeps no other waiting",
          "[unit][tapback]") {
    Vacated t;
    t.fails = {"1/51712"};
    t.places.look();
    CHECK(t.looked_at == "2/51712 3/51712 ");
    t.fails.clear();
    t.places.look();
    CHECK(t.looked_at == "2/51712 3/51712 1/51712 ");
}

TEST_CASE("vacated places: where xenstored goes away all requests go on that have waited", "[unit][tapback]") {
    Vacated t;
    t.fails = {"1/51712"};
    t.loses_store = true;
    SECTION("in the middle") {}
    SECTION("before") {
        t.store_lost = true;
    }
    t.places.look();
    CHECK(t.released == "1/51712 2/51712 3/51712 ");
    CHECK(t.looked_at.empty());
}
