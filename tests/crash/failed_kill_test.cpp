// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A flush that failed has failed for every tapdisk that comes after, wherever the one dies that noticed it: the flush
// is not answered, writes are refused, until the operator accepts the loss and opens the image again.
#include <fstream>
#include <poll.h>
#include <unistd.h>

#include "tests/crash/mortal/mortal_tapdisk.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/machine/sim_guest.hpp"
#include "tests/support/places.hpp"

using namespace blktap;
using namespace blktap::testing;
using namespace std::chrono_literals;
using ring::Status;

namespace {

constexpr std::uint64_t size_bytes = 8ULL << 20;

/// A guest, and a disk whose storage can be made bad.
class FailingDisk final : public SimGuest {
  public:
    FailingDisk(const std::string& format, Fate first) : next_(std::move(first)) {
        const std::string image =
            format == "raw" ? directory_.make_file("image", size_bytes) : directory_.path("image");
        if (format != "raw") {
            REQUIRE(run_program({BLKTAP_BIN_DIR "/tap-ctl", "image", "create", format + ":" + image, "--size", "8M"}));
        }
        const char* const fault = std::getenv(mortal::fault_variable);
        tapdisk_.emplace(
            world(), directory_,
            MortalTapdisk::Options{.image = {format, image, false, {}, false},
                                   .next_fate = [this](const std::string&) { return std::exchange(next_, {}); },
                                   .fault = fault == nullptr ? "" : fault,
                                   .bad_storage = directory_.path("bad")});
        link_ = &tapdisk_->link("");
        make_frontend({.domain = guest_domain});
        link_->connect(frontend().connect_arguments(), frontend().connect_descriptors());
        link_->serves(frontend());
        data_ = pages(1);
    }

    MortalTapdisk& tapdisk() { return *tapdisk_; }
    const GuestBuffer& data() const { return data_; }
    void set_bad(bool bad) {
        if (bad) {
            std::ofstream(directory_.path("bad")) << "bad";
        } else {
            REQUIRE(::unlink(directory_.path("bad").c_str()) == 0);
        }
    }
    /// Kills the tapdisk; what comes after it has this fate, and the one after that serves.
    void kill(Fate next = {}) {
        next_ = std::move(next);
        const unsigned before = tapdisk_->deaths().count();
        tapdisk_->kill();
        REQUIRE(wait([&] { return tapdisk_->deaths().count() > before; }));
    }
    void next_fate(Fate next) { next_ = std::move(next); }
    /// Sends `request` and waits for its answer.
    Status run(const ring::RawRequest& request) {
        send(request);
        REQUIRE(wait([&] { return answered(request.id); }));
        return *answer(request.id);
    }
    template <class Condition>
    bool wait(Condition condition) {
        const MonotonicClock clock;
        for (const Nanoseconds until = clock.now() + 20s; clock.now() < until;) {
            take_answers();
            if (condition()) return true;
            if (frontend().rearm()) continue;
            pollfd watched[] = {{frontend().event_fd(), POLLIN, 0}, {link_->fd(), POLLIN, 0}};
            ::poll(watched, 2, 5);
            if (watched[0].revents != 0) frontend().acknowledge();
            static_cast<void>(link_->check());
        }
        return false;
    }

  private:
    static bool run_program(const std::vector<std::string>& command) {
        return blktap::testing::run(command, {.output = "/dev/null"}, 60s) == 0;
    }

    const fakexen::ActAs guest_{guest_domain};
    const TemporaryDirectory directory_{BLKTAP_BIN_DIR};
    Fate next_;
    std::optional<MortalTapdisk> tapdisk_;
    MortalTapdisk::Link* link_ = nullptr;
    GuestBuffer data_;
};

}  // namespace

TEST_CASE("recovery: a flush that failed stays failed, wherever its tapdisk dies", "[crash]") {
    static constexpr const char* formats[] = {"raw", "qcow2", "vhd"};
    std::map<std::string, unsigned> deaths;
    std::uint64_t next_id = 1;
    for (unsigned number = 0; number < 12; ++number) {
        const Fate fate{.store = number % 2 == 0 ? "loss-kept" : "health-kept", .passage = 1 + number / 2};
        const char* const format = formats[number % 3];
        INFO(format << ", " << fate.store << ", passage " << fate.passage);
        FailingDisk t(format, fate);
        const auto read = [&] { return t.run(SimGuest::read(next_id++, 0, t.data())); };
        const auto write = [&] { return t.run(SimGuest::write(next_id++, 8, t.data())); };
        const auto flush = [&] { return t.run(SimGuest::flush(next_id++)); };
        REQUIRE(write() == Status::okay);
        t.set_bad(true);
        const std::uint64_t failed = next_id++;
        t.send(SimGuest::flush(failed));
        REQUIRE(t.wait([&] { return t.tapdisk().stats().at("flush-failed") == true; }));
        // Another flush would succeed from here on.
        t.set_bad(false);
        for (const Fate& next : {Fate{}, fate, Fate{.store = "request-readmitted"}, Fate{.store = "queue-adopted"}}) {
            t.kill(next);
            CHECK(read() == Status::okay);
            CHECK(write() == Status::error);
            CHECK_FALSE(t.answered(failed));
        }
        t.kill({.store = fate.store, .passage = 1 + number % 5});
        t.next_fate(fate);
        t.tapdisk().resume(true);
        CHECK(t.wait([&] { return t.answered(failed); }));
        CHECK(static_cast<int>(t.answer(failed).value_or(Status{99})) == static_cast<int>(Status::error));
        // The successor had opened the image after the failure: its operator's resume is all that writes waited for.
        for (const Fate& next : {fate, Fate{}}) {
            CHECK(write() == Status::okay);
            CHECK(flush() == Status::okay);
            t.kill(next);
        }
        CHECK(write() == Status::okay);
        t.tapdisk().pause();
        t.tapdisk().resume();
        CHECK(write() == Status::okay);
        t.kill();
        CHECK(write() == Status::okay);
        CHECK(flush() == Status::okay);
        CHECK(t.unanswered() == 0);
        for (const auto& [cause, count] : t.tapdisk().deaths().by_cause())
            deaths[cause] += count;
    }
    WARN("of a disk with a failed flush: killed from outside " << deaths[""] << ", at loss-kept " << deaths["loss-kept"]
                                                               << ", at health-kept " << deaths["health-kept"]);
    CHECK(deaths["loss-kept"] > 0);
    CHECK(deaths["health-kept"] > 0);
}
