// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/support/xenstored.hpp"

#include <cstdlib>

#include "libblktap/xenstore/xen_store.hpp"
#include "tests/support/catch.hpp"

using namespace blktap;
using blktap::testing::Xenstored;

TEST_CASE("xenstored: restarted after a kill it is empty", "[unit][xenstore]") {
    Xenstored xenstored;
    XenStore().write("backend/x", "1");
    xenstored.kill();
    CHECK_FALSE(xenstored.running());
    xenstored.start();
    CHECK(xenstored.running());
    CHECK_FALSE(XenStore().read("backend/x"));
}

TEST_CASE("xenstored: nothing of it is left in the environment", "[unit][xenstore]") {
    {
        const Xenstored xenstored;
        CHECK(std::getenv("XENSTORED_PATH") != nullptr);
    }
    CHECK(std::getenv("XENSTORED_PATH") == nullptr);
    CHECK(std::getenv("XENSTORED_RUNDIR") == nullptr);
}

TEST_CASE("xenstored: a domain exists from its introduction to its release", "[unit][xenstore]") {
    const Xenstored xenstored;
    const XenStore store;
    CHECK_FALSE(store.is_domain_known(5));
    xenstored.introduce(5);
    CHECK(store.is_domain_known(5));
    CHECK_FALSE(store.is_domain_known(6));
    xenstored.release(5);
    CHECK_FALSE(store.is_domain_known(5));
}
