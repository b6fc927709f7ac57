// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tap_ctl/vbd_name.hpp"

#include <algorithm>

#include "libblktap/xenstore/xen_store.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/thrown.hpp"
#include "tests/support/xenstored.hpp"

namespace blktap::tap_ctl {
namespace {

using ipc::VbdArguments;
using testing::thrown;

const FindDomains nobody = [](const std::string& name) -> std::vector<std::uint16_t> {
    FAIL("asked for a domain called " << name);
    return {};
};
const FindDomains some = [](const std::string& name) -> std::vector<std::uint16_t> {
    if (name == "twice") return {3, 4};
    if (name == "guest" || name == "a/b") return {7};
    return {};
};

}  // namespace

TEST_CASE("VBD name: numbers need nobody's help", "[unit][control]") {
    CHECK(read_vbd("5/51712", nobody) == VbdArguments{5, 51712});
    CHECK(read_vbd("5/xvda", nobody) == VbdArguments{5, 51712});
    CHECK(read_vbd("0/0xca10", nobody) == VbdArguments{0, 51728});
}

TEST_CASE("VBD name: a domain may be called by its name, whatever is in it", "[unit][control]") {
    CHECK(read_vbd("guest/xvdb", some) == VbdArguments{7, 51728});
    CHECK(read_vbd("a/b/xvdb", some) == VbdArguments{7, 51728});
    CHECK(read_domain("guest", some) == 7);
}

TEST_CASE("VBD name: what names no VBD is refused in words", "[unit][control]") {
    CHECK_THAT(thrown([] { read_vbd("5", nobody); }).what(), Catch::StartsWith("'5' is not DOMAIN/DEVICE"));
    CHECK_THAT(thrown([] { read_vbd("5/disk", nobody); }).what(), Catch::StartsWith("'disk' is not a device"));
    CHECK_THAT(thrown([] { read_vbd("/xvda", nobody); }).what(), Catch::StartsWith("the domain has no number"));
    CHECK_THAT(thrown([] { read_vbd("nobody/xvda", some); }).what(), Catch::StartsWith("no domain is called 'nobody'"));
    CHECK_THAT(thrown([] { read_vbd("twice/xvda", some); }).what(),
               Catch::StartsWith("several domains are called 'twice'"));
    // Beyond the last domain it is a name.
    CHECK_THAT(thrown([] { read_domain("40000", some); }).what(), Catch::StartsWith("no domain is called '40000'"));
}

TEST_CASE("VBD name: names of domains are in xenstore", "[unit][control][xenstore]") {
    const testing::Xenstored xenstored;
    const XenStore store;
    store.write("/local/domain/3/name", "guest");
    store.write("/local/domain/4/name", "other");
    store.write("/local/domain/5/memory", "guest");
    CHECK(domains_named("guest") == std::vector<std::uint16_t>{3});
    CHECK(domains_named("none").empty());
    store.write("/local/domain/12/name", "guest");
    auto both = domains_named("guest");
    std::ranges::sort(both);
    CHECK(both == std::vector<std::uint16_t>{3, 12});
}

}  // namespace blktap::tap_ctl
