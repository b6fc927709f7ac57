// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
#include "control/tapback/storage/io_token.hpp"

#include <algorithm>
#include <fcntl.h>
#include <unistd.h>

#include "libblktap/files/image_lock.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/without_locks.hpp"
#include "tests/unit/tapback/storage/late_requests.hpp"

using namespace blktap;
using namespace blktap::tapback;
using namespace blktap::testing;

namespace {

UniqueFd open_file(const std::string& path, int flags = O_RDWR) {
    return UniqueFd{::open(path.c_str(), flags | O_CLOEXEC)};
}

constexpr std::uint64_t last_ticks = (1 << 20) - 1;

bool has(const std::vector<IoToken>& all, const IoToken& token) {
    return std::ranges::count(all, token) == 1;
}

}  // namespace

TEST_CASE("io token: it is on a file until the last descriptor of its description is closed", "[unit][tapback]") {
    const TemporaryDirectory directory;
    const std::string path = directory.make_file("image", 4096);
    const IoToken token(ProcessId{100, 12345});
    const UniqueFd looks = open_file(path);
    UniqueFd has_it = open_file(path, GENERATE(O_RDWR, O_RDONLY));
    CHECK_FALSE(token.is_on(looks.get()));
    REQUIRE_FALSE(token.put_on(has_it.get()));
    CHECK(token.is_on(looks.get()));
    CHECK_FALSE(token.is_on(has_it.get()));  // its own does not count
    CHECK_FALSE(IoToken(ProcessId{100, 12346}).is_on(looks.get()));
    CHECK_FALSE(IoToken(ProcessId{101, 12345}).is_on(looks.get()));
    UniqueFd duplicate{::fcntl(has_it.get(), F_DUPFD_CLOEXEC, 0)};
    has_it.reset();
    CHECK(token.is_on(looks.get()));
    duplicate.reset();
    CHECK_FALSE(token.is_on(looks.get()));
}

TEST_CASE("io token: all that are on a file are found, whatever else is locked", "[unit][tapback]") {
    const TemporaryDirectory directory;
    const std::string path = directory.make_file("image", 4096);
    std::vector<IoToken> tokens;
    for (const ProcessId& process : std::vector<ProcessId>{{4194303, last_ticks}, {1, 0}, {300, 77}, {300, 76}, {2, 5}})
        tokens.emplace_back(process);
    std::vector<UniqueFd> files;
    for (const IoToken& token : tokens) {
        files.push_back(open_file(path, O_RDONLY));
        REQUIRE(lock_image(files.back().get(), path, Access::read_only));
        REQUIRE_FALSE(token.put_on(files.back().get()));
    }
    const UniqueFd looks = open_file(path, O_RDONLY);
    const auto all = IoToken::all_on(looks.get());
    CHECK(all.size() == tokens.size());
    for (const IoToken& token : tokens)
        CHECK(has(all, token));
    files.pop_back();
    CHECK_FALSE(has(IoToken::all_on(looks.get()), tokens.back()));
    files.clear();
    CHECK(IoToken::all_on(looks.get()).empty());
}

TEST_CASE("io token: those of another host, which uses the same file through a server, are not found", "[unit]") {
    const TemporaryDirectory directory;
    const std::string path = directory.make_file("image", 4096);
    const UniqueFd other = open_file(path);
    struct flock lock {};
    lock.l_type = F_RDLCK;
    lock.l_start = IoToken(ProcessId{100, 1}).byte() ^ off_t { 1 } << GENERATE(42, 61);
    lock.l_len = 1;
    REQUIRE(::fcntl(other.get(), F_OFD_SETLK, &lock) == 0);
    CHECK(IoToken::all_on(open_file(path).get()).empty());
}

TEST_CASE("io token: it says which process it is of, and whether that one lives", "[unit][tapback]") {
    const IoToken own(own_id());
    CHECK(own.pid() == ::getpid());
    CHECK(own.process_lives());
    CHECK_FALSE(IoToken(ProcessId{::getpid(), own_id().start_ticks + 1}).process_lives());
    CHECK_FALSE(IoToken(dead_process()).process_lives());
    CHECK(IoToken(ProcessId{4194303, last_ticks}).pid() == 4194303);
    CHECK(own.byte() > off_t{1} << 61);  // far behind QEMU's
}

TEST_CASE("io token: without locks in the file system there is none, and nothing to wait for", "[unit][tapback]") {
    const TemporaryDirectory directory;
    const std::string path = directory.make_file("image", 4096);
    const UniqueFd file = open_file(path);
    const IoToken token(ProcessId{100, 1});
    without_locks([&] {
        CHECK(token.put_on(file.get()) == std::errc::no_lock_available);
        CHECK_FALSE(token.is_on(file.get()));
        CHECK(IoToken::all_on(file.get()).empty());
    });
}
