// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Vbd between Debian's own xenstored, where the test is toolstack and guest, and a tapdisk that answers when the test
// says so. tests/control tests the whole programs; here a test can look at every moment between two answers.
#include "control/tapback/vbd/vbd.hpp"

#include <filesystem>

#include "tests/support/images/small_file_system.hpp"
#include "tests/unit/tapback/vbd/disk_host.hpp"

using namespace blktap;
using namespace blktap::tapback;
using Catch::Contains;

namespace {

struct VbdHost : StoreHost {
    explicit VbdHost(unsigned deaths_max = 3, const std::string& run_directory = "") {
        options.deaths_max = deaths_max;
        options.run_directory = run_directory.empty() ? files_directory.path("") : run_directory;
        vbd.emplace(host, address);
        look();
    }

    /// What the guest writes, and what tapback makes of it.
    void enter(const std::string& state) {
        store().write(std::string(frontend) + "/state", state);
        look();
    }
    void publish() {
        write_keys();
        look();
    }
    /// Everything may have changed.
    void look() {
        vbd->all_changed();
        do {
            marked = false;
            vbd->look();
        } while (marked && !vbd->finished());
    }
    /// The tapdisk's answer, and what tapback makes of it.
    void answer(const ipc::Json& result = ipc::Json::object()) {
        tapdisk().answer(result);
        look();
    }
    void attach() {
        vbd->image().attach({"raw", "/images/a", false, {}}, "",
                            [this](const auto& reply) { told = reply.error_message + '.'; });
        look();
        answer(device);
        answer(ipc::Problems{});
    }
    void attach_and_connect() {
        attach();
        publish();
        answer(device);
        REQUIRE(node("state") == "4");
        enter("4");
    }
    bool has_record() const { return std::filesystem::exists(files_directory.path("5-51712.json")); }

    Options options{};
    bool marked = false;
    int later = 0;
    Host host{.loop = loop,
              .options = options,
              .tapdisks = tapdisks,
              .files = files,
              .problem_hook = problem_hook,
              .session = store_session,
              .mark = [this](const auto&) { marked = true; },
              .mark_later = [this](const auto&) { ++later; },
              .mark_status = [](const auto&) {}};
    std::string told{};
    std::optional<Vbd> vbd{};
};

}  // namespace

TEST_CASE("vbd: the way of a disk from its toolstack's first node to its last", "[unit][tapback]") {
    VbdHost t;
    CHECK(t.node("state") == "2");
    CHECK(t.node("max-ring-pages") == "16");
    CHECK_FALSE(t.has_record());
    t.attach();
    CHECK(t.told == ".");
    CHECK(t.has_record());
    CHECK(t.vbd->entry(true).state == "waiting for the guest");
    t.publish();
    CHECK(t.tapdisk().asked() == "connect ");
    CHECK(t.node("state") == "2");  // nothing is promised before the tapdisk has the rings
    t.answer(t.device);
    CHECK(t.node("state") == "4");
    CHECK(t.node("sectors") == "8");
    t.enter("4");
    t.enter("5");
    CHECK(t.node("state") == "5");
    t.enter("6");
    CHECK(t.tapdisk().asked() == "disconnect ");
    CHECK(t.node("state") == "5");
    t.answer();
    CHECK(t.node("state") == "6");
    CHECK_FALSE(t.tapdisk().terminated);  // online: it may come back
    t.store().write(t.backend("online"), "0");
    t.look();
    CHECK(t.tapdisk().terminated);
    t.tapdisk().end("exited with status 0");
    t.look();
    CHECK_FALSE(t.has_record());
    t.store().remove(t.address.backend_path());
    t.look();
    CHECK(t.vbd->finished());
}

TEST_CASE("vbd: a disk whose directory was made anew ends in the background, and writes nothing there",
          "[unit][tapback]") {
    VbdHost t;
    t.attach_and_connect();
    t.make_directory();
    t.look();
    CHECK(t.tapdisk().asked() == "disconnect ");
    CHECK_THAT(t.vbd->entry(true).problem.value_or(""), Contains("made anew"));
    const auto untouched = [&] {
        return t.node("state") == "1" && t.node("tapdisk/life") == "none" && t.node("tapdisk/status") == "none";
    };
    CHECK(untouched());
    t.publish();  // the next disk's guest
    CHECK(t.tapdisk().asked() == "disconnect ");
    t.answer();
    CHECK(t.tapdisk().terminated);
    CHECK(untouched());
    CHECK_FALSE(t.vbd->finished());
    t.tapdisk().end("exited with status 0");
    t.look();
    CHECK(t.vbd->finished());
    CHECK(untouched());
    CHECK_FALSE(t.has_record());
}

TEST_CASE("vbd: what a tapdisk that died left is answered when the guest closes, and not before", "[unit][tapback]") {
    VbdHost t(1);
    t.attach_and_connect();
    t.tapdisk().end("killed by signal 9");
    t.look();
    CHECK(t.vbd->entry(true).state == "held");
    CHECK(t.node("state") == "4");
    CHECK(t.has_record());
    t.enter("5");
    CHECK(t.node("state") == "5");
    CHECK(t.tapdisks.next_pid == 101);  // no other was started
    t.enter("6");
    CHECK(t.tapdisk().pid() == 101);
    CHECK(t.tapdisk().asked() == "abandon ");
    CHECK(t.node("state") == "5");
    t.answer();
    t.tapdisk().end("exited with status 0");
    t.look();
    CHECK(t.node("state") == "6");
}

TEST_CASE(
    "vbd: while another tapdisk takes the place of one that died nothing is done in xenstore but to tell the size",
    "[unit][tapback]") {
    VbdHost t;
    t.attach_and_connect();
    t.tapdisk().end("killed by signal 9");
    t.look();
    CHECK(t.vbd->entry(true).state == "recovering");
    CHECK(t.tapdisk().pid() == 101);
    const ipc::Json image{{"format", "raw"}, {"path", "/images/a"}, {"device", t.device}};
    const auto say = [&](const char* state, bool connected) {
        REQUIRE(t.tapdisk().asked() == "stats ");
        t.answer({{"state", state}, {"connected", connected}, {"image", image}});
    };
    say("closed", false);
    t.answer();  // "recover"
    const bool closes = GENERATE(false, true);
    if (closes) t.enter("5");
    say("paused", false);
    CHECK(t.tapdisk().asked() == "adopt ");
    t.answer(t.device);
    CHECK(t.node("state") == "4");
    say("paused", true);
    CHECK(t.tapdisk().asked() == "resume ");
    CHECK(t.node("state") == "4");
    const ipc::Json larger = ipc::DeviceDescription{.size_sectors = 16};
    t.answer(larger);
    t.answer(ipc::Problems{});
    CHECK(t.node("sectors") == (closes ? "8" : "16"));
    CHECK(t.node("state") == (closes ? "5" : "4"));
    CHECK(t.vbd->entry(true).state == (closes ? "closing" : "connected"));
}

TEST_CASE("vbd: rings that an earlier version connected and did not record have no successor", "[unit][tapback]") {
    VbdHost t;
    t.attach_and_connect();
    t.vbd.emplace(t.host, VbdRecord{.backend = t.address, .image = {"raw", "/images/a", false, {}}});
    const ipc::Json image{{"format", "raw"}, {"path", "/images/a"}, {"device", t.device}};
    t.answer({{"state", "open"}, {"connected", true}, {"image", image}});
    t.answer(ipc::Problems{});
    CHECK(t.vbd->entry(true).state == "connected");
    CHECK_THROWS_AS(t.vbd->image().upgrade([](const auto&) {}), std::system_error);
    t.tapdisk().end("killed by signal 9");
    t.look();
    CHECK(t.vbd->entry(true).state == "held");
    CHECK_THROWS_AS(t.vbd->image().recover([](const auto&) {}), std::system_error);
}

TEST_CASE("vbd: a guest that comes while its disk is paused waits for it", "[unit][tapback]") {
    VbdHost t;
    t.attach();
    t.vbd->image().pause([](const auto&) {});
    t.publish();
    CHECK(t.tapdisk().asked() == "pause ");
    t.answer();
    CHECK(t.vbd->entry(true).state == "paused");
    CHECK(t.tapdisk().asked().empty());
    t.vbd->image().resume({}, [](const auto&) {});
    t.look();
    CHECK(t.tapdisk().asked() == "resume ");
    t.answer();
    CHECK(t.tapdisk().asked() == "connect ");
}

TEST_CASE("vbd: while the run directory is full a guest that comes waits, and is told of when there is space",
          "[unit][tapback]") {
    if (!testing::SmallFileSystem::available()) {
        WARN("needs the right to mount: skipped");
        return;
    }
    const testing::SmallFileSystem run{testing::SmallFileSystem::Kind::tmpfs, 1 << 20};
    VbdHost t(3, run.path(""));
    t.attach();
    run.fill();
    t.publish();
    CHECK(t.tapdisk().asked().empty());
    CHECK(t.node("state") == "2");
    CHECK_THAT(t.node("tapdisk/status"), Contains("the frontend waits") && Contains("No space left on device"));
    CHECK_THAT(t.vbd->entry(false).problem.value_or(""), Contains("No space left on device"));
    CHECK(t.later > 0);
    run.free_space();
    t.look();
    CHECK(t.tapdisk().asked() == "connect ");
    REQUIRE(read_records(run.path("")).size() == 1);
    CHECK(read_records(run.path("")).front().rings);
    t.answer(t.device);
    CHECK(t.node("state") == "4");
    CHECK_FALSE(t.vbd->entry(false).problem);
}

TEST_CASE("vbd: a tapdisk that cannot be asked keeps its guest, and is ended with its disk", "[unit][tapback]") {
    VbdHost t;
    t.attach_and_connect();
    t.tapdisk().lose();
    t.look();
    CHECK(t.vbd->entry(true).state == "unreachable");
    CHECK(t.node("state") == "4");
    t.enter("5");
    t.enter("6");
    CHECK(t.node("state") == "4");  // what it does is not known
    CHECK_FALSE(t.tapdisk().terminated);
    t.store().write(t.backend("online"), "0");
    t.look();
    CHECK(t.tapdisk().terminated);
    t.tapdisk().end("killed by signal 15");
    t.look();
    CHECK(t.vbd->entry(true).problem.has_value());
}

TEST_CASE("vbd: an image is attached to the directory that names it, once", "[unit][tapback]") {
    VbdHost t;
    const auto attach = [&](const std::string& life) {
        t.vbd->image().attach({"raw", "/images/a", false, {}}, life, [](const auto&) {});
    };
    CHECK_THROWS_AS(attach("0123"), std::system_error);
    CHECK(t.tapdisks.last == nullptr);
    attach(t.node("tapdisk/life"));
    CHECK(t.tapdisk().asked() == "open ");
    CHECK_THROWS_AS(attach(t.node("tapdisk/life")), std::system_error);
}

TEST_CASE("vbd: an image that does not open leaves its reason where xl looks, until one does", "[unit][tapback]") {
    VbdHost t;
    std::string told;
    t.vbd->image().attach({"raw", "/images/a", false, {}}, "", [&](const auto& reply) { told = reply.error_message; });
    t.look();
    t.tapdisk().fail(std::make_error_code(std::errc::permission_denied), "/images/a: no right to it");
    t.look();
    CHECK(t.node("hotplug-error") == "/images/a: no right to it");
    CHECK(told.empty());
    t.tapdisk().end("exited with status 0");
    t.look();
    CHECK(told == "/images/a: no right to it");
    CHECK_FALSE(t.has_record());
    t.attach();
    CHECK(t.node("hotplug-error") == "none");
    CHECK(t.vbd->entry(true).state == "waiting for the guest");
}
