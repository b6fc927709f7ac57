// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// A tapdisk is killed while a write of it is under way and another process has its memory: it is seen to be dead, and
// the write lands later. The storage is a file system of the test, which answers the write when the test says so.
#include <csignal>
#include <cstring>
#include <poll.h>

#include <libaio.h>

#include "libblktap/base/error.hpp"
#include "tests/support/images/hanging_file_system.hpp"
#include "tests/support/images/held_memory.hpp"
#include "tests/support/process.hpp"
#include "tests/unit/tapback/storage/late_requests.hpp"
#include "tests/unit/tapback/storage/storage_fixture.hpp"

using namespace blktap;
using namespace blktap::tapback;
using blktap::testing::HangingFileSystem;
using Call = HangingFileSystem::Call;

namespace {

constexpr std::size_t block_bytes = 4096;
constexpr char of_the_dead = 'D';
constexpr char of_the_successor = 'S';

alignas(block_bytes) char block[block_bytes];

/// A copy of this process, which is killed at the latest when its owner ends.
class Copy {
  public:
    template <class Life>
    explicit Copy(Life life) {
        child_.pid = ::fork();
        REQUIRE(child_.pid >= 0);
        if (child_.pid == 0) {
            life();
            ::_exit(0);
        }
        child_.pidfd = open_pidfd(child_.pid);
    }
    ~Copy() { child_.kill(); }
    Copy(const Copy&) = delete;
    Copy& operator=(const Copy&) = delete;

    pid_t pid() const { return child_.pid; }
    ProcessId id() const { return identify(child_.pid).value(); }
    bool has_ended(int wait_ms) const {
        pollfd entry{.fd = child_.pidfd.get(), .events = POLLIN, .revents = 0};
        return ::poll(&entry, 1, wait_ms) == 1;
    }

  private:
    ChildProcess child_;
};

/// Receives a file, writes a block to it with Linux AIO, and never asks for the answer.
void write_and_wait(int from) {
    ipc::MessageSocket socket{UniqueFd{from}};
    pollfd entry{.fd = from, .events = POLLIN, .revents = 0};
    ::poll(&entry, 1, -1);
    const auto message = socket.receive();
    std::memset(block, of_the_dead, sizeof block);
    io_context_t context{};
    ::io_setup(1, &context);
    iocb write{};
    iocb* all[] = {&write};
    ::io_prep_pwrite(&write, message->descriptors.front().get(), block, sizeof block, 0);
    ::io_submit(context, 1, all);
    for (;;)
        ::pause();
}

struct DeadWriter {
    DeadWriter() {
        int ends[2] = {-1, -1};
        REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
        ipc::MessageSocket to{UniqueFd{ends[0]}};
        UniqueFd from{ends[1]};
        tapdisk.emplace([&] { write_and_wait(from.get()); });
        from.reset();
        id = tapdisk->id();
        memory.emplace(id.pid, block);
        // No copy of this process has what is opened from here on.
        storage.hold(Call::write, [pid = id.pid](pid_t of) { return of == pid; });
        to.send("the file", {files.open(storage.file(), id).get()});
        REQUIRE(testing::wait_until([&] { return storage.held() == 1; }));
        testing::send_signal(id.pid, SIGKILL);
        REQUIRE(tapdisk->has_ended(20000));
        REQUIRE(storage.held() == 1);  // dead, and its write is under way
    }
    ~DeadWriter() { storage.let_go(); }
    DeadWriter(const DeadWriter&) = delete;
    DeadWriter& operator=(const DeadWriter&) = delete;

    void look(int number) {
        CHECK(storage.held() == 1);
        CHECK(is_locked(storage.file()));
        if (number == 3) storage.let_go();
    }

    HangingFileSystem storage{1 << 20};
    WatchedFiles files{[this](int number) { look(number); }};
    std::optional<Copy> tapdisk{};
    std::optional<testing::HeldMemory> memory{};
    ProcessId id{};
};

}  // namespace

TEST_CASE("late I/O: what a dead tapdisk still writes does not land on what its successor has written",
          "[unit][tapback][root]") {
    if (!HangingFileSystem::available()) {
        WARN("needs root and /dev/fuse: skipped");
        return;
    }
    DeadWriter t;
    const UniqueFd fd = t.files.open(t.storage.file(), own_id());
    std::memset(block, of_the_successor, sizeof block);
    REQUIRE(::pwrite(fd.get(), block, sizeof block, 0) == static_cast<ssize_t>(sizeof block));
    t.storage.let_go();
    std::memset(block, 0, sizeof block);
    REQUIRE(::pread(fd.get(), block, sizeof block, 0) == static_cast<ssize_t>(sizeof block));
    CHECK(std::string(block, sizeof block) == std::string(sizeof block, of_the_successor));
    CHECK(t.files.looks >= 3);
}

TEST_CASE("late I/O: an image stays locked until what a dead tapdisk writes has landed", "[unit][tapback][root]") {
    if (!HangingFileSystem::available()) return;
    DeadWriter t;
    t.files.files->release();
    CHECK(t.files.looks >= 3);
    CHECK(t.storage.held() == 0);
    CHECK_FALSE(is_locked(t.storage.file()));
}
