// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/vbd/disk_record.hpp"

#include <filesystem>

#include "tests/support/temporary_directory.hpp"
#include "tests/support/thrown.hpp"

using namespace blktap;
using namespace blktap::tapback;

namespace {

/// A disk whose run directory may be away, which hinders whoever runs the test.
struct RecordHost {
    void be_away(bool away) const {
        away ? std::filesystem::rename(run, files.path("away")) : std::filesystem::rename(files.path("away"), run);
    }
    std::vector<VbdRecord> written() const { return read_records(run); }

    const testing::TemporaryDirectory files{};
    const std::string run = files.path("run");
    const bool made = std::filesystem::create_directory(run);
    std::optional<VbdRecord> wanted{{{ipc::VbdAddress::Kind::vbd3, 5, 51712}, {"raw", "/images/a", false, {}}, false}};
    int later = 0;
    DiskRecord record{run, wanted->backend, {.gather = [this] { return wanted; }, .later = [this] { ++later; }}};
};

}  // namespace

TEST_CASE("disk record: one that cannot be written is tried again until it can, with what is true then",
          "[unit][tapback]") {
    RecordHost t;
    t.record.look();
    CHECK(t.written().empty());
    t.be_away(true);
    SECTION("whose writer is told") {
        CHECK(testing::thrown([&] { t.record.write(); }).code() == std::errc::no_such_file_or_directory);
    }
    SECTION("whose writer goes on") {
        t.record.try_to_write();
    }
    CHECK(t.later == 1);
    t.record.look();
    CHECK(t.later == 2);
    t.wanted->paused = true;
    t.be_away(false);
    t.record.look();
    CHECK(t.written() == std::vector{*t.wanted});
    t.record.remove();
    t.record.look();
    CHECK(t.written().empty());
    CHECK(t.later == 2);
}

TEST_CASE("disk record: one of a disk that has nothing to record any more is not due", "[unit][tapback]") {
    RecordHost t;
    t.be_away(true);
    t.record.try_to_write();
    t.be_away(false);
    t.wanted.reset();
    t.record.look();
    CHECK(t.written().empty());
    t.wanted.emplace();
    t.record.look();
    CHECK(t.written().empty());
}
