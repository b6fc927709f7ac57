// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The operator's policy: how long requests wait for space, whether they wait for broken storage, and when a warning is
// given.
#include "tapdisk/disk/storage_policy.hpp"

#include "tapdisk/disk/retry_delays.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/images/small_file_system.hpp"
#include "tests/support/thrown.hpp"
#include "tests/unit/tapdisk/stub_disk.hpp"

using namespace blktap;
using namespace blktap::testing;
using namespace std::chrono_literals;
using ring::Status;

namespace {

const std::error_code no_space{ENOSPC, std::system_category()};
const std::error_code broken{EIO, std::system_category()};

StoragePolicy policy_of(const std::string& options) {
    ImageSpec image = parse_image_spec("raw:/x?" + options, Access::read_write);
    return take_storage_policy(image);
}

/// A disk with these options, on which write 1 has met `error`.
struct PolicyDisk {
    PolicyDisk(const std::string& options, std::error_code error) : PolicyDisk(options) {
        machine.send(machine.write(1, 64, data));
        machine.settle();
        REQUIRE(disk.waiting() == "W");
        disk.complete(0, error);
        machine.settle();
    }
    explicit PolicyDisk(const std::string& options) : machine(with(disk, options)) {}

    static VbdHarness::Options with(StubDisk& disk, const std::string& options) {
        VbdHarness::Options all = disk.options();
        all.image += "?" + options;
        return all;
    }
    std::vector<std::string> problems() {
        std::vector<std::string> names;
        for (const ipc::Problem& problem : machine.vbd().problems().problems)
            names.push_back(problem.name);
        return names;
    }
    /// Until what is over counts as over.
    void stay_quiet() {
        machine.clock().advance(problem_quiet);
        machine.settle();
    }
    std::uint64_t waiting(const char* what) { return machine.counter(std::string("/waiting/") + what); }

    StubDisk disk;
    VbdHarness machine;
    GuestBuffer data = machine.pages(2);
};

}  // namespace

TEST_CASE("storage policy: waits for ever, reports errors, and warns below a twentieth by default", "[unit][tapdisk]") {
    const StoragePolicy policy = policy_of("buffered=yes");
    CHECK_FALSE(policy.no_space_timeout.has_value());
    CHECK_FALSE(policy.hold_errors);
    CHECK(policy.is_low(99, 2000));
    CHECK_FALSE(policy.is_low(100, 2000));
    CHECK(policy.is_low((1ULL << 30) - 1, 1ULL << 50));
    CHECK_FALSE(policy.is_low(1ULL << 30, 1ULL << 50));
}

TEST_CASE("storage policy: takes its options and leaves the driver's", "[unit][tapdisk]") {
    ImageSpec image =
        parse_image_spec("raw:/x?enospc-timeout=90&on-error=hold&low-space=2M&size=1G", Access::read_write);
    const StoragePolicy policy = take_storage_policy(image);
    CHECK(policy.no_space_timeout == 90s);
    CHECK(policy.hold_errors == true);
    CHECK(policy.low_space_bytes == 2U << 20);
    CHECK(image.options == std::map<std::string, std::string>{{"size", "1G"}});
    CHECK_FALSE(policy_of("enospc-timeout=forever").no_space_timeout.has_value());
    CHECK(policy_of("on-error=report").hold_errors == false);
    CHECK_FALSE(policy_of("low-space=off").is_low(0, 1000));
}

TEST_CASE("storage policy: refuses what it does not understand", "[unit][tapdisk]") {
    for (const char* options : {"enospc-timeout=soon", "enospc-timeout=", "enospc-timeout=5m", "enospc-timeout=-1",
                                "enospc-timeout=99999999999", "on-error=ignore", "low-space=little", "low-space="}) {
        INFO(options);
        CHECK(thrown([&] { policy_of(options); }).code() == std::errc::invalid_argument);
    }
}

TEST_CASE("enospc-timeout: a write that found no space for so long has a last try and is an error", "[unit][tapdisk]") {
    PolicyDisk t{"enospc-timeout=1", no_space};
    t.disk.automatic = true;
    t.disk.answer = no_space;
    t.machine.clock().advance(999ms);
    t.machine.settle();
    CHECK_FALSE(t.machine.answered(1));
    t.machine.clock().advance(1ms);
    SECTION("without space") {
        t.machine.settle();
        CHECK(t.machine.answer(1) == Status::error);
        CHECK(t.waiting("gave-up") == 1);
    }
    SECTION("with space by then") {
        t.disk.answer = {};
        t.machine.settle();
        CHECK(t.machine.answer(1) == Status::okay);
        CHECK(t.waiting("gave-up") == 0);
    }
    CHECK(t.waiting("no-space") == 0);
    t.stay_quiet();
    CHECK(t.problems().empty());
}

TEST_CASE("enospc-timeout: does not end a flush, whose error a guest would take for no flush", "[unit][tapdisk]") {
    PolicyDisk t{"enospc-timeout=1"};
    t.disk.automatic = true;
    t.disk.answer = no_space;
    t.machine.send(VbdHarness::flush(1));
    t.machine.settle();
    for (int i = 0; i < 20; ++i) {
        t.machine.clock().advance(1s);
        t.machine.settle();
    }
    CHECK_FALSE(t.machine.answered(1));
    t.disk.answer = {};
    t.machine.vbd().retry();
    t.machine.settle();
    CHECK(t.machine.answer(1) == Status::okay);
}

TEST_CASE("enospc-timeout: a barrier whose flush found no space for so long fails the image", "[unit][tapdisk]") {
    PolicyDisk t{"enospc-timeout=1"};
    t.disk.automatic = true;
    t.disk.answer = no_space;
    t.machine.send(t.machine.barrier(1, 0, t.data));
    t.machine.settle();
    t.machine.clock().advance(1s);
    t.machine.settle();
    CHECK(t.machine.answer(1) == Status::error);
    t.stay_quiet();
    CHECK(t.problems() == std::vector<std::string>{"flush-failed"});
}

TEST_CASE("on-error: what broken storage refused is reported by default", "[unit][tapdisk]") {
    PolicyDisk t{"on-error=report", broken};
    CHECK(t.machine.answer(1) == Status::error);
}

TEST_CASE("on-error=hold: what broken storage refused waits for it, reads too", "[unit][tapdisk]") {
    PolicyDisk t{"on-error=hold", {GENERATE(EIO, ETIMEDOUT, ENOLINK, ESTALE), std::system_category()}};
    t.machine.send(t.machine.read(2, 0, t.data));
    t.machine.settle();
    t.disk.complete(0, broken);
    t.machine.settle();
    CHECK(t.machine.unanswered() == 2);
    CHECK(t.waiting("io-error") == 2);
    CHECK(t.problems() == std::vector<std::string>{"io-error"});
    t.disk.automatic = true;
    t.machine.clock().advance(100ms);
    t.machine.settle();
    CHECK(t.machine.unanswered() == 0);
    t.stay_quiet();
    CHECK(t.problems().empty());
}

TEST_CASE("on-error=hold: an error that is the request's own, and one of a flush, are not held", "[unit][tapdisk]") {
    PolicyDisk t{"on-error=hold", {EINVAL, std::system_category()}};
    CHECK(t.machine.answer(1) == Status::error);
    t.machine.send(VbdHarness::flush(2));
    t.machine.settle();
    t.disk.complete(0, broken);
    t.machine.settle();
    CHECK(t.problems() == std::vector<std::string>{"flush-failed"});
}

TEST_CASE("problems: each change is told once", "[unit][tapdisk]") {
    PolicyDisk t{"on-error=report", no_space};
    int told = 0;
    t.machine.vbd().on_problems([&told] { ++told; });
    CHECK(t.problems() == std::vector<std::string>{"no-space"});
    CHECK(t.waiting("no-space") == 1);
    for (std::uint64_t id = 2; id < 6; ++id) {
        t.machine.send(t.machine.write(id, 1024 * id, t.data));
        t.machine.settle();
        t.disk.complete(0, no_space);
        t.machine.settle();
    }
    CHECK(told == 0);
    t.machine.clock().advance(70ms);
    CHECK(t.waiting("oldest-ms") == 70);
    t.disk.automatic = true;
    t.machine.vbd().retry();
    t.machine.settle();
    CHECK(told == 0);
    t.stay_quiet();
    CHECK(told == 1);
    CHECK(t.problems().empty());
}

TEST_CASE("problems: a guest that fills its file system again and again has one, told once", "[unit][tapdisk]") {
    PolicyDisk t{"on-error=report", no_space};
    int told = 0;
    t.machine.vbd().on_problems([&told] { ++told; });
    for (std::uint64_t id = 2; id < 62; ++id) {
        t.disk.automatic = true;
        t.disk.answer = {};
        t.machine.clock().advance(100ms);
        t.machine.vbd().retry();
        t.machine.settle();
        CHECK(t.waiting("no-space") == 0);
        t.disk.answer = no_space;
        t.machine.send(t.machine.write(id, 64, t.data));
        t.machine.settle();
        CHECK(t.waiting("no-space") == 1);
    }
    CHECK(told == 0);
    CHECK(t.problems() == std::vector<std::string>{"no-space"});
    t.disk.answer = {};
    t.machine.vbd().retry();
    t.machine.settle();
    t.stay_quiet();
    CHECK(told == 1);
    CHECK(t.problems().empty());
}

TEST_CASE("problems: what waits is over when the frontend is gone", "[unit][tapdisk]") {
    PolicyDisk t{"on-error=report", no_space};
    REQUIRE_FALSE(t.machine.disconnect());
    t.machine.settle();
    t.stay_quiet();
    CHECK(t.problems().empty());
}

TEST_CASE("resize: the guest may use what was added, and no more", "[unit][tapdisk]") {
    VbdHarness::Options options;
    options.size_sectors = 2048;
    VbdHarness machine{options};
    GuestBuffer data = machine.pages(1);
    data.fill(4088, 5);
    CHECK(machine.run(machine.write(1, 4088, data)) == Status::error);
    const auto resize = [&machine](std::uint64_t size_bytes) {
        return machine.finish([&](Vbd::Done done) { machine.vbd().resize(size_bytes, std::move(done)); });
    };
    CHECK_FALSE(resize(4096 * 512));
    CHECK(machine.vbd().describe().size_sectors == 4096);
    CHECK(machine.run(machine.write(2, 4088, data)) == Status::okay);
    CHECK(machine.run(machine.write(3, 4089, data)) == Status::error);
    CHECK(machine.image_bytes(data.at(4088)) == data.get());
    CHECK(thrown([&] { resize(2048 * 512); }).code() == std::errc::invalid_argument);
    CHECK(thrown([&] { resize(4097 * 512 + 1); }).code() == std::errc::invalid_argument);
    // Reopened, it is as large.
    REQUIRE_FALSE(machine.pause());
    CHECK(thrown([&] { resize(8192 * 512); }).code() == Errc::wrong_state);
    machine.resume();
    CHECK(machine.run(machine.read(4, 4088, data)) == Status::okay);
}

TEST_CASE("resize: a format that cannot is no harm", "[unit][tapdisk]") {
    PolicyDisk t{"on-error=report"};
    const auto error = t.machine.finish([&](Vbd::Done done) { t.machine.vbd().resize(1 << 30, std::move(done)); });
    CHECK(error == std::errc::operation_not_supported);
    CHECK(t.machine.vbd().describe().size_sectors == t.disk.info.size_sectors);
}

TEST_CASE("full file system: a guest's writes wait, and finish when there is space", "[unit][tapdisk][root]") {
    if (!SmallFileSystem::available()) {
        WARN("needs root and the right to mount: skipped");
        return;
    }
    const SmallFileSystem small{SmallFileSystem::Kind::tmpfs, 64 << 20};
    small.fill(4 << 20);
    LinuxAioKernel kernel;
    VbdHarness::Options options;
    options.kernel = &kernel;
    options.image = "raw:" + small.make_file("image") + "?buffered=yes&size=1G&low-space=8M";
    VbdHarness machine{options};
    std::vector<GuestBuffer> data;
    for (std::uint64_t id = 0; id < 16; ++id) {
        data.push_back(machine.pages(256));
        data.back().fill(id * 2048, id + 1);
        machine.put(machine.write(id, id * 2048, data.back()));
    }
    machine.publish();
    machine.run_until([&] { return machine.counter("/parked") > 0 && machine.unanswered() <= 14; });
    const auto has = [&machine](const char* name) {
        const auto& problems = machine.vbd().problems().problems;
        return std::ranges::find(problems, name, &ipc::Problem::name) != problems.end();
    };
    CHECK(has("no-space"));
    for (int i = 0; i < 3; ++i) {  // the space is asked for, each second
        machine.clock().advance(1s);
        machine.run_until([&] { return machine.counter("/parked") > 0; });
        machine.settle();
    }
    machine.run_until([&] { return has("low-space"); });
    CHECK(machine.unanswered() > 0);
    CHECK(machine.run(machine.read(100, 0, machine.pages(1))) == Status::okay);
    CHECK(machine.run(VbdHarness::flush(101)) == Status::okay);
    small.free_space();
    // Less than the back-off has come to: it is the look at the file system that finds out.
    for (int i = 0; i < 3 && machine.unanswered() > 0; ++i) {
        machine.clock().advance(1s);
        machine.settle();
    }
    machine.run_until([&] { return machine.unanswered() == 0; });
    for (std::uint64_t id = 0; id < 16; ++id)
        CHECK(machine.answer(id) == Status::okay);
    for (std::uint64_t id = 0; id < 16; ++id) {
        const std::vector<std::byte> written = data[id].get();
        CHECK(machine.run(machine.read(200 + id, id * 2048, data[id])) == Status::okay);
        CHECK(data[id].get() == written);
    }
    machine.clock().advance(problem_quiet);
    machine.settle();
    CHECK_FALSE(has("no-space"));
}
