// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The queue on the running kernel, with O_DIRECT on a file in the working directory of the test; without O_DIRECT if
// that file system does not support it.
#include <array>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <random>

#include "libblktap/aio/io_queue.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/unit/aio/aio_fixture.hpp"

namespace blktap {
namespace {

using namespace testing;

constexpr std::size_t page = 4096;

/// The running kernel, with a ring that seems to have another layout.
class HiddenRingKernel final : public AioKernel {
  public:
    int setup(unsigned slots, io_context_t* context) noexcept override {
        const int result = linux_.setup(slots, context);
        if (result == 0) reinterpret_cast<std::uint32_t*>(*context)[4] = 0;  // struct aio_ring's magic
        return result;
    }
    int submit(io_context_t context, long count, iocb** control_blocks) noexcept override {
        return linux_.submit(context, count, control_blocks);
    }
    int get_events(io_context_t context, long minimum, long maximum, io_event* events,
                   timespec* timeout) noexcept override {
        ++get_events_calls;
        return linux_.get_events(context, minimum, maximum, events, timeout);
    }
    int destroy(io_context_t context) noexcept override { return linux_.destroy(context); }

    int get_events_calls = 0;

  private:
    LinuxAioKernel linux_;
};

struct Fixture {
    TemporaryDirectory directory{std::filesystem::current_path()};
    UniqueFd file;

    explicit Fixture() {
        const std::string path = directory.make_file("disk", 0);
        file.reset(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_DIRECT));
        if (!file) file.reset(::open(path.c_str(), O_RDWR | O_CLOEXEC));
        REQUIRE(file);
    }
};

/// Plays turns, asleep while the kernel works.
void finish(IoQueue& queue) {
    while (!queue.idle()) {
        queue.submit_staged();
        if (queue.reap() > 0 || queue.can_submit()) continue;
        pollfd completion{queue.completion_fd(), POLLIN, 0};
        REQUIRE(::poll(&completion, 1, 10'000) == 1);
    }
}

char fill_of(std::size_t index) {
    return static_cast<char>('!' + index % 90);
}

/// 200 writes of one to four pages, a flush, and 200 reads of the same, through 48 slots.
void write_and_read_back(AioKernel& kernel, int file) {
    IoQueue queue(kernel);
    std::vector<TestOp> ops(200);
    for (std::size_t index = 0; index < ops.size(); ++index) {
        ops[index].prepare_write(file, index * 4 * page, page, 1 + index % 4, fill_of(index));
        queue.stage(ops[index]);
    }
    finish(queue);
    for (const TestOp& op : ops)
        REQUIRE(op.succeeded_with(op.memory.size_bytes()));
    TestOp flush;
    flush.prepare_flush(file);
    queue.stage(flush);
    finish(queue);
    CHECK(flush.succeeded_with(0));
    for (std::size_t index = 0; index < ops.size(); ++index) {
        ops[index].completions = 0;
        ops[index].prepare_read(file, index * 4 * page, 512, 8 * (1 + index % 4));
        queue.stage(ops[index]);
    }
    finish(queue);
    for (std::size_t index = 0; index < ops.size(); ++index) {
        REQUIRE(ops[index].succeeded_with(ops[index].memory.size_bytes()));
        REQUIRE(ops[index].holds(fill_of(index), ops[index].memory.size_bytes()));
    }
    CHECK(queue.stats().waiting_max >= 200 - IoQueue::default_slots);
}

}  // namespace

TEST_CASE_METHOD(Fixture, "io queue on Linux: what was written with O_DIRECT is read back", "[unit][aio]") {
    REQUIRE(::ftruncate(file.get(), 800 * page) == 0);
    LinuxAioKernel kernel;
    write_and_read_back(kernel, file.get());
}

TEST_CASE_METHOD(Fixture, "io queue on Linux: the same without the mapped ring", "[unit][aio]") {
    REQUIRE(::ftruncate(file.get(), 800 * page) == 0);
    HiddenRingKernel kernel;
    write_and_read_back(kernel, file.get());
    CHECK(kernel.get_events_calls > 0);
}

TEST_CASE_METHOD(Fixture, "io queue on Linux: a read across the end of the file comes as far as that", "[unit][aio]") {
    const std::size_t size = GENERATE(as<std::size_t>{}, 4096, 8192, 4608, 4796);
    REQUIRE(::ftruncate(file.get(), static_cast<off_t>(size)) == 0);
    LinuxAioKernel kernel;
    IoQueue queue(kernel);
    TestOp across, beyond;
    across.prepare_read(file.get(), 0, page, 4);
    beyond.prepare_read(file.get(), 8 * page, page);
    queue.stage(across);
    queue.stage(beyond);
    finish(queue);
    CHECK(across.succeeded_with(size));
    CHECK(across.holds(0, size));
    CHECK(beyond.succeeded_with(0));
}

TEST_CASE_METHOD(Fixture, "io queue on Linux: a bad descriptor fails its own operation only", "[unit][aio]") {
    REQUIRE(::ftruncate(file.get(), page) == 0);
    LinuxAioKernel kernel;
    IoQueue queue(kernel);
    std::array<TestOp, 5> ops;
    for (std::size_t index = 0; index < ops.size(); ++index) {
        ops[index].prepare_read(index == 2 ? -1 : file.get(), 0, page);
        queue.stage(ops[index]);
    }
    finish(queue);
    CHECK(ops[2].failed_with(EBADF));
    for (const std::size_t index : {0U, 1U, 3U, 4U})
        CHECK(ops[index].succeeded_with(page));
}

TEST_CASE_METHOD(Fixture, "io queue on Linux: thousands of reads wrap the kernel's ring", "[unit][aio]") {
    REQUIRE(::ftruncate(file.get(), 64 * page) == 0);
    LinuxAioKernel kernel;
    IoQueue queue(kernel, 16);
    int left = 3000;
    std::array<TestOp, 16> ops;
    for (TestOp& op : ops) {
        op.then = [&](TestOp& self) {
            if (self.transferred_bytes != page) left = 1 << 30;
            if (--left <= 0) return;
            self.prepare_read(file.get(), 0, page);
            queue.stage(self);
        };
        op.prepare_read(file.get(), 0, page);
        queue.stage(op);
    }
    finish(queue);
    CHECK(left <= 0);
    CHECK(queue.stats().reaped == queue.stats().submitted);
}

}  // namespace blktap
