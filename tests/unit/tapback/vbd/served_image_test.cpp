// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vbd/served_image.hpp"

#include <fstream>

#include "tests/support/thrown.hpp"
#include "tests/unit/tapback/vbd/disk_host.hpp"

using namespace blktap;
using namespace blktap::tapback;
using Catch::Contains;

namespace {

struct ImageHost : DiskHost {
    explicit ImageHost(bool plugged = false)
        : image({tapdisks, store_session, directory, link, session, situation}, address, plugged) {}

    void attach(const std::string& life = "") {
        image.attach({"raw", "/images/a", false, {}}, life,
                     [this](const auto& reply) { told = reply.error_message + '.'; });
    }
    void resume(const ipc::VbdResume& arguments) {
        image.resume(arguments, [this](const auto& reply) { told = reply.error_message + '.'; });
    }
    void resize(std::uint64_t sectors) {
        image.resize(sectors * 512, [this](const auto& reply) { told = reply.error_message + '.'; });
        tapdisk().answer(ipc::DeviceDescription{.size_sectors = sectors});
    }

    ServedImage image;
    std::string told{};
};

}  // namespace

TEST_CASE("served image: who may write is said by the disk's mode", "[unit][tapback]") {
    ImageHost t;
    t.write_backend("mode", "r");
    t.attach();
    CHECK(t.tapdisk().arguments().at("read-only") == true);
}

TEST_CASE("served image: an image that is only read stays so, whatever it is resumed with", "[unit][tapback]") {
    ImageHost t;
    t.write_backend("mode", "r");
    t.open_image();
    t.image.pause([](const auto&) {});
    t.tapdisk().answer();
    t.resume({.image = ipc::ImageArguments{"raw", "/images/b", false, {}}});
    CHECK(t.tapdisk().asked() == "resume ");
    CHECK(t.tapdisk().arguments().at("image").at("path") == "/images/b");
    CHECK(t.tapdisk().arguments().at("image").at("read-only") == true);
}

TEST_CASE("served image: nothing is attached to a disk that has one, was given up, or is another's",
          "[unit][tapback]") {
    ImageHost t;
    std::string reason;
    SECTION("it has one") {
        t.open_image();
        reason = "an image is open already";
    }
    SECTION("it was given up") {
        t.situation.release();
        reason = "an image is open already";
    }
    SECTION("its directory is gone") {
        t.store().remove(t.address.backend_path());
        t.see_all();
        reason = "not claimed";
    }
    const auto error = testing::thrown([&] { t.attach(); });
    CHECK(error.code() == Errc::wrong_state);
    CHECK_THAT(error.what(), Contains(reason));
    CHECK(testing::thrown([&] { t.attach("0123"); }).code() == Errc::wrong_state);
}

TEST_CASE("served image: the image of a tapdisk that died before a guest came may be attached anew",
          "[unit][tapback]") {
    const bool plugged = GENERATE(false, true);
    ImageHost t(plugged);
    t.open_image();
    t.tapdisk().end("killed by signal 9");
    t.session.tidy();
    t.situation.gather();
    REQUIRE(t.session.image().has_value());
    if (plugged) {
        CHECK_THROWS_AS(t.attach(), std::system_error);
    } else {
        t.attach();
        CHECK(t.tapdisk().pid() == 101);
        CHECK(t.tapdisk().asked() == "open ");
    }
}

TEST_CASE("served image: a tapdisk of block-tap is wanted by a disk that has none and is to stay", "[unit][tapback]") {
    ImageHost t;
    CHECK(t.image.wants_tap());
    CHECK_FALSE(ImageHost(true).image.wants_tap());
    SECTION("it has one") {
        t.open_image();
    }
    SECTION("its toolstack takes it away") {
        t.write_backend("online", "0");
    }
    SECTION("it closes") {
        t.write_backend("state", "5");
    }
    SECTION("it was given up") {
        t.situation.release();
    }
    t.see_all();
    CHECK_FALSE(t.image.wants_tap());
}

TEST_CASE("served image: a guest that is connected is told of another size, one that is not finds it",
          "[unit][tapback]") {
    ImageHost t;
    t.open_image();
    t.resize(16);
    CHECK(t.told == ".");
    CHECK(t.node("sectors") == "none");
    CHECK(t.session.description()->size_sectors == 16);
    t.connect();
    t.write_backend("state", "5");  // it closes meanwhile
    t.resize(24);
    CHECK(t.node("sectors") == "none");
    t.write_backend("state", "4");
    t.resize(32);
    CHECK(t.node("sectors") == "32");
    CHECK(t.told == ".");
}

TEST_CASE("served image: without a tapdisk there is nothing to ask", "[unit][tapback]") {
    ImageHost t;
    const auto nobody = [](const auto&) {};
    CHECK(testing::thrown([&] { t.image.pause(nobody); }).code() == Errc::wrong_state);
    CHECK(testing::thrown([&] { t.resume({}); }).code() == Errc::wrong_state);
    CHECK(testing::thrown([&] { t.image.resize(512, nobody); }).code() == Errc::wrong_state);
    CHECK(testing::thrown([&] { t.image.call(ipc::Stats{}, {}, nobody); }).code() == Errc::wrong_state);
}

TEST_CASE("served image: no tapdisk goes on with requests that are being answered with errors", "[unit][tapback]") {
    ImageHost t;
    t.open_image();
    t.connect();
    t.tapdisk().end("killed by signal 9");
    t.link.tapdisk_ended(DiskSession::End::held, false);
    t.link.abandon();
    t.link.abandon();  // now that the dead one's I/O is over
    REQUIRE(t.tapdisk().asked() == "abandon ");
    CHECK_THAT(testing::thrown([&] { t.image.recover([](const auto&) {}); }).what(),
               Contains("are being answered with errors"));
    t.tapdisk().answer();
    t.tapdisk().end("exited with status 0");
    t.image.recover([](const auto&) {});
    CHECK(t.session.state() == Session::reviving);
}

TEST_CASE("served image: a tapdisk is upgraded if the installed program can go on, and else not touched",
          "[unit][tapback]") {
    ImageHost t;
    const auto upgrade = [&] { t.image.upgrade([&](const auto& reply) { t.told = reply.error_message + '.'; }); };
    CHECK_THROWS_AS(upgrade(), std::system_error);
    t.open_image();
    SECTION("it can") {
        upgrade();
        CHECK(t.tapdisks.asked_version == 2);
        CHECK_THROWS_AS(upgrade(), std::system_error);  // already
        CHECK_FALSE(t.tapdisk().terminated);
        t.tapdisks.checked("");
        CHECK(t.tapdisk().terminated);
        CHECK(t.session.state() == Session::upgrading);
        CHECK(t.told.empty());
    }
    SECTION("it cannot") {
        upgrade();
        t.tapdisks.checked("exited with status 1");
        CHECK_THAT(t.told, Contains("exited with status 1"));
        CHECK_FALSE(t.tapdisk().terminated);
        upgrade();
    }
    SECTION("not while it pauses") {
        t.image.pause([](const auto&) {});
        CHECK_THROWS_AS(upgrade(), std::system_error);
    }
    SECTION("the tapdisk has died meanwhile") {
        upgrade();
        t.tapdisk().end("killed by signal 9");
        t.tapdisks.checked("");
        CHECK_THAT(t.told, Contains("no tapdisk serves it now"));
    }
    SECTION("its log lacks what counts") {
        t.connect();
        std::ofstream(t.recovery_log, std::ios::binary) << "BKTAPLOG" << std::string("\1\0\0\0", 4);
        CHECK_THROWS_AS(upgrade(), std::system_error);
    }
}
