// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vbd/removal.hpp"

#include "tests/support/thrown.hpp"
#include "tests/unit/tapback/vbd/disk_host.hpp"

using namespace blktap;
using namespace blktap::tapback;
using Catch::Contains;

namespace {

struct RemovalHost : DiskHost {
    Removal::Done tell() {
        return [this](const ipc::Reply& reply) { told = reply.error_message + '.'; };
    }

    std::string told{};
    int given_up = 0;
    int changes = 0;
    bool waits_for_guest = true;
    OwnDisk own_disk{{loop, store_session, files, {}}, address};
    Removal removal{loop,
                    address,
                    directory,
                    own_disk,
                    {.give_up = [this] { ++given_up; },
                     .changed = [this] { ++changes; },
                     .waits_for_guest = [this] { return waits_for_guest; }}};
};

}  // namespace

TEST_CASE("removal: a disk is given up at once, and who asked is told when it has ended", "[unit][tapback]") {
    RemovalHost t;
    t.removal.detach(true, t.tell());
    CHECK(t.given_up == 1);
    CHECK(t.node("online") == "1");  // those are its toolstack's
    CHECK(t.told.empty());
    const auto told = t.removal.finish();
    CHECK(t.told.empty());
    told();
    CHECK(t.told == ".");
}

TEST_CASE("removal: a guest is asked to close its disk, and has its time", "[unit][tapback]") {
    RemovalHost t;
    t.removal.unplug(false, t.tell());
    CHECK(t.node("online") == "0");
    CHECK(t.node("state") == "5");
    CHECK(t.changes == 1);
    CHECK(t.given_up == 0);
    CHECK_FALSE(t.removal.is_by_force());
    CHECK(testing::thrown([&] { t.removal.unplug(true, t.tell()); }).code() == Errc::wrong_state);
    t.turn(Removal::patience - Nanoseconds{1});
    CHECK(t.told.empty());
    std::string reason = "the guest does not let it go.";
    SECTION("because of the guest") {}
    SECTION("because of our storage") {
        t.waits_for_guest = false;
        reason = "its storage does not answer; the disk goes when it does.";
    }
    t.turn(Nanoseconds{1});
    CHECK(t.told == reason);
    CHECK_FALSE(t.removal.is_overdue());
}

TEST_CASE("removal: by force the guest is asked, and then not waited for", "[unit][tapback]") {
    RemovalHost t;
    t.removal.unplug(true, t.tell());
    CHECK(t.removal.is_by_force());
    CHECK(t.node("state") == "5");
    CHECK_FALSE(t.removal.is_overdue());
    t.turn(Removal::force_patience);
    CHECK(t.removal.is_overdue());
    CHECK(t.changes == 2);
    CHECK(t.told.empty());
    t.turn(Removal::patience);
    CHECK(t.told != "");
    t.removal.unplug(false, t.tell());  // it may be asked for again, and begins anew
    CHECK_FALSE(t.removal.is_by_force());
    CHECK_FALSE(t.removal.is_overdue());
}

TEST_CASE("removal: a disk that ends in time is told of once", "[unit][tapback]") {
    RemovalHost t;
    t.write_backend("state", "6");
    t.removal.unplug(false, t.tell());
    CHECK(t.node("state") == "6");  // it is closed already
    t.removal.finish()();
    CHECK(t.told == ".");
    t.told.clear();
    t.turn(Removal::patience);
    CHECK(t.told.empty());
    t.removal.finish()();
    CHECK(t.told.empty());
}

TEST_CASE("removal: a disk of this domain stays while it is not known whether it is used", "[unit][tapback]") {
    RemovalHost t;
    t.write_backend("state", "4");
    t.store().write("domid", "5");
    CHECK_THROWS_AS(t.removal.detach(true, t.tell()), std::system_error);  // no process can look
    CHECK_THROWS_AS(t.removal.unplug(false, t.tell()), std::system_error);
    CHECK(t.given_up == 0);
    CHECK(t.node("online") == "1");
    CHECK(t.node("state") == "4");
    t.removal.detach(false, t.tell());  // its guest has closed it
    CHECK(t.given_up == 1);
    t.removal.unplug(true, t.tell());
    CHECK(t.node("online") == "0");
}
