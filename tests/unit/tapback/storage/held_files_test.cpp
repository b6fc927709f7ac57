// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// What of a file is kept, what is given to a tapdisk, and what is waited for when that tapdisk has died.
#include "control/tapback/storage/held_files.hpp"

#include "libblktap/files/local_image_opener.hpp"
#include "tests/support/images/loop_device.hpp"
#include "tests/support/thrown.hpp"
#include "tests/support/without_locks.hpp"
#include "tests/unit/tapback/storage/late_requests.hpp"
#include "tests/unit/tapback/storage/storage_fixture.hpp"

using namespace blktap;
using namespace blktap::tapback;
using namespace blktap::testing;

namespace {

struct OneImage {
    TemporaryDirectory directory{BLKTAP_BIN_DIR};
    std::string path = directory.make_file("image", 4096);
};

bool can_be_claimed(const std::string& device) {
    return static_cast<bool>(UniqueFd{::open(device.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC)});
}

}  // namespace

TEST_CASE("held files: a successor gets a file when the last request of the dead tapdisk is over", "[unit][tapback]") {
    const OneImage t;
    const bool read_only = GENERATE(false, true);  // a late read may still fill pages of the guest
    std::optional<LateRequest> request;
    WatchedFiles files{[&](int look) {
        CHECK(request.has_value());
        if (look == 3) request.reset();
    }};
    request.emplace(files.open(t.path, dead_process(), read_only));
    CHECK(files.looks == 0);
    const UniqueFd fd = files.open(t.path, own_id(), read_only);
    CHECK(files.looks == 3);
    CHECK((::fcntl(fd.get(), F_GETFL) & (O_ACCMODE | O_DIRECT)) == ((read_only ? O_RDONLY : O_RDWR) | O_DIRECT));
}

TEST_CASE("held files: one that is about to be let go of is waited for, and one that stays in use is not for long",
          "[unit][tapback]") {
    const OneImage t;
    UniqueFd theirs = LocalImageOpener().open(t.path, Access::read_write, Caching::direct);
    const bool stays = GENERATE(false, true);
    WatchedFiles files{[&](int look) {
        if (look == 3 && !stays) theirs.reset();
    }};
    if (stays) {
        CHECK(thrown([&] { files.open(t.path, own_id()); }).code() == std::errc::device_or_resource_busy);
        CHECK(files.looks == 100);
    } else {
        CHECK(files.open(t.path, own_id()));
        CHECK(files.looks == 3);
    }
}

TEST_CASE("held files: no lock is released before the last request is over", "[unit][tapback]") {
    const OneImage t;
    const std::string base = t.directory.make_file("base", 4096);
    std::optional<LateRequest> write;
    std::optional<LateRequest> read;
    WatchedFiles files{[&](int look) {
        CHECK(is_locked(t.path));
        CHECK(is_locked(base));
        if (look == 2) write.reset();
        if (look == 4) read.reset();
    }};
    const ProcessId dead = dead_process();
    write.emplace(files.open(t.path, dead));
    read.emplace(files.open(base, dead, true));
    files.files->release();
    CHECK(files.looks == 4);
    CHECK_FALSE(is_locked(t.path));
    CHECK_FALSE(is_locked(base));
}

TEST_CASE("held files: a tapdisk that has a file for writing does not get it twice, but may read it twice",
          "[unit][tapback]") {
    const OneImage t;
    WatchedFiles files;
    SECTION("for writing") {
        UniqueFd first = files.open(t.path, own_id());
        const auto refused = thrown([&] { files.open(t.path, own_id()); });
        CHECK(refused.code() == std::errc::device_or_resource_busy);
        CHECK_THAT(refused.what(), Catch::Contains("process " + std::to_string(::getpid()) + " has it for writing"));
        first.reset();
        CHECK(files.open(t.path, own_id()));
    }
    SECTION("for reading") {
        const UniqueFd first = files.open(t.path, own_id(), true);
        CHECK(files.open(t.path, own_id(), true));
    }
    CHECK(files.looks == 0);
}

TEST_CASE("held files: what a tapdisk has stays locked without the process that kept it", "[unit][tapback]") {
    const OneImage t;
    WatchedFiles files;
    UniqueFd given = files.open(t.path, own_id());
    files.files.reset();
    CHECK(is_locked(t.path));
    given.reset();
    CHECK_FALSE(is_locked(t.path));
}

TEST_CASE("held files: what is taken from a tapdisk stays locked after that one's end, which is noticed",
          "[unit][tapback]") {
    const OneImage t;
    WatchedFiles before;
    UniqueFd at_tapdisk = before.open(t.path, own_id());
    before.files.reset();
    WatchedFiles files;
    files.keep(t.path, UniqueFd{::fcntl(at_tapdisk.get(), F_DUPFD_CLOEXEC, 0)}, own_id());
    CHECK(thrown([&] { files.open(t.path, own_id()); }).code() == std::errc::device_or_resource_busy);
    at_tapdisk.reset();
    CHECK(is_locked(t.path));
    CHECK(files.open(t.path, own_id()));
    files.files->release();
    CHECK(files.looks == 0);
    CHECK_FALSE(is_locked(t.path));
}

TEST_CASE("held files: requests of a tapdisk that was found are waited for too", "[unit][tapback]") {
    const OneImage t;
    const ProcessId tapdisk = dead_process();
    WatchedFiles before;
    UniqueFd at_tapdisk = before.open(t.path, tapdisk);
    before.files.reset();
    std::optional<LateRequest> request;
    WatchedFiles files{[&](int look) {
        if (look == 3) request.reset();
    }};
    files.keep(t.path, UniqueFd{::fcntl(at_tapdisk.get(), F_DUPFD_CLOEXEC, 0)}, tapdisk);
    request.emplace(std::move(at_tapdisk));
    SECTION("by its successor") {
        CHECK(files.open(t.path, own_id()));
    }
    SECTION("before the locks are released") {
        files.files->release();
    }
    CHECK(files.looks == 3);
}

TEST_CASE("held files: the file of a tapdisk without a token is kept as it is, and nothing is waited for",
          "[unit][tapback]") {
    const OneImage t;
    UniqueFd at_tapdisk = LocalImageOpener().open(t.path, Access::read_write, Caching::direct);
    WatchedFiles files;
    files.keep(t.path, UniqueFd{::fcntl(at_tapdisk.get(), F_DUPFD_CLOEXEC, 0)}, dead_process());
    at_tapdisk.reset();
    CHECK(is_locked(t.path));
    CHECK(files.open(t.path, own_id()));
    files.files->release();
    CHECK(files.looks == 0);
    CHECK_FALSE(is_locked(t.path));
}

TEST_CASE("held files: a tapdisk and its tapback die at once: the next tapback waits for the requests",
          "[unit][tapback]") {
    const OneImage t;
    const bool read_only = GENERATE(false, true);
    std::optional<LateRequest> request;
    WatchedFiles before;
    request.emplace(before.open(t.path, dead_process(), read_only));
    before.files.reset();
    WatchedFiles files{[&](int look) {
        CHECK(is_locked(t.path));
        if (look == 3) request.reset();
    }};
    CHECK(files.open(t.path, own_id(), read_only));
    CHECK(files.looks == 3);
}

TEST_CASE("held files: who uses a file and lives is not waited for", "[unit][tapback]") {
    const OneImage t;
    WatchedFiles other;
    const bool read_only = GENERATE(false, true);
    const UniqueFd used = other.open(t.path, identify(::getppid()).value(), read_only);
    WatchedFiles files;
    if (read_only) {
        CHECK(files.open(t.path, own_id(), true));
    } else {
        CHECK(thrown([&] { files.open(t.path, own_id()); }).code() == std::errc::device_or_resource_busy);
    }
    files.files->release();  // the other's token is still there
    CHECK(files.looks == 0);
}

TEST_CASE("held files: on a file system without locks a file is given all the same", "[unit][tapback]") {
    const OneImage t;
    WatchedFiles files;
    const ProcessId dead = dead_process();
    UniqueFd late;
    UniqueFd next;
    without_locks([&] {
        late = files.open(t.path, dead);
        next = files.open(t.path, own_id());
        files.files->release();
    });
    CHECK(late);
    CHECK(next);
    CHECK(files.looks == 0);
}

TEST_CASE("held files: a block device stays claimed while it is kept, whoever has it", "[unit][tapback][root]") {
    if (!LoopDevice::available()) return;
    const OneImage t;
    const std::string file = t.directory.make_file("device", 1 << 20);
    const LoopDevice device{file, 512};
    WatchedFiles files;
    UniqueFd given = files.open(device.path(), own_id());
    CHECK_FALSE(can_be_claimed(device.path()));
    given.reset();
    given = files.open(device.path(), own_id());
    CHECK_FALSE(can_be_claimed(device.path()));
    files.files.reset();
    WatchedFiles next;
    next.keep(device.path(), UniqueFd{::fcntl(given.get(), F_DUPFD_CLOEXEC, 0)}, own_id());
    given.reset();
    CHECK_FALSE(can_be_claimed(device.path()));
    next.files->release();
    CHECK(can_be_claimed(device.path()));
}
