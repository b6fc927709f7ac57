// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// How the queue batches, waits and completes, when nothing goes wrong.
#include "libblktap/aio/io_queue.hpp"

#include <array>
#include <memory>
#include <sys/epoll.h>

#include "tests/support/catch.hpp"
#include "tests/support/thrown.hpp"
#include "tests/unit/aio/aio_fixture.hpp"

namespace blktap {
namespace {

using namespace testing;

constexpr std::size_t page = 4096;

struct Fixture {
    SimAioKernel kernel;
    UniqueFd file = memory_file(16 * page, 'a');
};

}  // namespace

TEST_CASE_METHOD(Fixture, "io queue: reads, writes and flushes a file", "[unit][aio]") {
    if (GENERATE(false, true)) kernel.hide_ring();
    IoQueue queue(kernel);
    TestOp read, write, flush;
    read.prepare_read(file.get(), page, page, 3);
    write.prepare_write(file.get(), 8 * page, page, 2, 'w');
    flush.prepare_flush(file.get());
    for (TestOp* op : {&read, &write, &flush})
        queue.stage(*op);
    finish(queue, kernel);
    CHECK(read.succeeded_with(3 * page));
    CHECK(read.holds('a', 3 * page));
    CHECK(write.succeeded_with(2 * page));
    CHECK(file_holds(file.get(), 8 * page, 2 * page, 'w'));
    CHECK(file_holds(file.get(), 10 * page, 6 * page, 'a'));
    CHECK(flush.succeeded_with(0));
}

TEST_CASE_METHOD(Fixture, "io queue: everything staged goes to the kernel in one call", "[unit][aio]") {
    IoQueue queue(kernel);
    std::array<TestOp, 20> ops;
    for (TestOp& op : ops) {
        op.prepare_read(file.get(), 0, page);
        queue.stage(op);
    }
    CHECK(kernel.submit_calls() == 0);
    CHECK(queue.can_submit());
    queue.submit_staged();
    CHECK(kernel.submit_calls() == 1);
    CHECK(kernel.held() == 20);
    CHECK(queue.in_kernel() == 20);
    CHECK_FALSE(queue.can_submit());
    queue.submit_staged();
    CHECK(kernel.submit_calls() == 1);
    finish(queue, kernel);
    CHECK(queue.stats().submitted == 20);
    CHECK(queue.stats().reaped == 20);
}

TEST_CASE_METHOD(Fixture, "io queue: what exceeds the slots waits for a completion", "[unit][aio]") {
    IoQueue queue(kernel, 4);
    std::array<TestOp, 10> ops;
    for (TestOp& op : ops) {
        op.prepare_read(file.get(), 0, page);
        queue.stage(op);
    }
    queue.submit_staged();
    CHECK(queue.in_kernel() == 4);
    CHECK_FALSE(queue.can_submit());
    kernel.complete_next();
    queue.reap();
    CHECK(ops[0].completions == 1);
    CHECK(queue.can_submit());
    queue.submit_staged();
    CHECK(queue.in_kernel() == 4);
    finish(queue, kernel);
    for (const TestOp& op : ops)
        CHECK(op.succeeded_with(page));
    CHECK(queue.stats().waiting_max == 6);
}

TEST_CASE_METHOD(Fixture, "io queue: completions are matched to operations in any order", "[unit][aio]") {
    if (GENERATE(false, true)) kernel.hide_ring();
    IoQueue queue(kernel, 7);
    std::array<TestOp, 16> ops;
    for (std::size_t round = 0; round < 20; ++round) {  // often enough to wrap the completion ring
        for (std::size_t index = 0; index < ops.size(); ++index) {
            const char fill = static_cast<char>('A' + (round + index) % 26);
            ops[index].completions = 0;
            ops[index].prepare_write(file.get(), index * page, 512, 8, fill);
            queue.stage(ops[index]);
        }
        finish(queue, kernel);
        for (std::size_t index = 0; index < ops.size(); ++index) {
            REQUIRE(ops[index].succeeded_with(page));
            REQUIRE(file_holds(file.get(), index * page, page, static_cast<char>('A' + (round + index) % 26)));
        }
    }
}

TEST_CASE_METHOD(Fixture, "io queue: nothing is completed before the kernel is done with it", "[unit][aio]") {
    IoQueue queue(kernel);
    TestOp op;
    op.prepare_read(file.get(), 0, page);
    queue.stage(op);
    queue.submit_staged();
    CHECK_FALSE(queue.completion_pending());
    CHECK(queue.reap() == 0);
    CHECK_FALSE(queue.idle());
    kernel.complete_all();
    CHECK(queue.completion_pending());
    CHECK(op.completions == 0);
    CHECK(queue.reap() == 1);
    CHECK(op.completions == 1);
    CHECK_FALSE(queue.completion_pending());
    CHECK(queue.idle());
}

TEST_CASE_METHOD(Fixture, "io queue: a mapped ring is reaped without a call", "[unit][aio]") {
    IoQueue queue(kernel);
    TestOp op;
    op.prepare_read(file.get(), 0, page);
    queue.stage(op);
    finish(queue, kernel);
    CHECK(op.succeeded_with(page));
    CHECK(kernel.get_events_calls() == 0);
}

TEST_CASE_METHOD(Fixture, "io queue: a ring of an unknown layout is left to the kernel's call", "[unit][aio]") {
    kernel.hide_ring();
    IoQueue queue(kernel, 100);
    std::array<TestOp, 100> ops;  // more than one call returns
    for (TestOp& op : ops) {
        op.prepare_read(file.get(), 0, page);
        queue.stage(op);
    }
    queue.submit_staged();
    CHECK_FALSE(queue.completion_pending());
    kernel.complete_next();
    CHECK(queue.completion_pending());
    CHECK(queue.reap() == 1);
    CHECK_FALSE(queue.completion_pending());
    kernel.complete_all();
    CHECK(queue.completion_pending());
    CHECK(queue.reap() == 99);
    CHECK_FALSE(queue.completion_pending());
    CHECK(kernel.get_events_calls() > 0);
    for (const TestOp& op : ops)
        CHECK(op.succeeded_with(page));
}

TEST_CASE_METHOD(Fixture, "io queue: every completion wakes an edge-triggered watcher that never reads",
                 "[unit][aio]") {
    IoQueue queue(kernel);
    const UniqueFd epoll{::epoll_create1(EPOLL_CLOEXEC)};
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    REQUIRE(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, queue.completion_fd(), &event) == 0);
    std::array<TestOp, 3> ops;
    for (TestOp& op : ops) {
        op.prepare_read(file.get(), 0, page);
        queue.stage(op);
    }
    queue.submit_staged();
    CHECK(::epoll_wait(epoll.get(), &event, 1, 0) == 0);
    while (kernel.complete_next()) {
        CHECK(::epoll_wait(epoll.get(), &event, 1, 0) == 1);
        CHECK(::epoll_wait(epoll.get(), &event, 1, 0) == 0);
    }
    queue.reap();
}

TEST_CASE_METHOD(Fixture, "io queue: a completion may stage its operation again and submit it", "[unit][aio]") {
    IoQueue queue(kernel, 2);
    TestOp op;
    op.prepare_read(file.get(), 0, page);
    op.then = [&](TestOp& self) {
        if (self.completions == 5) return;
        self.prepare_read(file.get(), 0, page);
        queue.stage(self);
        queue.submit_staged();
    };
    queue.stage(op);
    finish(queue, kernel);
    CHECK(op.completions == 5);
}

TEST_CASE_METHOD(Fixture, "io queue: a completion may destroy its operation", "[unit][aio]") {
    IoQueue queue(kernel);
    std::vector<std::unique_ptr<TestOp>> ops(8);
    int destroyed = 0;
    for (auto& op : ops) {
        op = std::make_unique<TestOp>();
        op->prepare_read(file.get(), 0, page);
        op->then = [&ops, &destroyed](TestOp& self) {
            ++destroyed;
            std::find_if(ops.begin(), ops.end(), [&self](const auto& each) { return each.get() == &self; })->reset();
        };
        queue.stage(*op);
    }
    finish(queue, kernel);
    CHECK(destroyed == 8);
}

TEST_CASE_METHOD(Fixture, "io queue: a completion may reap, and each operation is still completed once",
                 "[unit][aio]") {
    if (GENERATE(false, true)) kernel.hide_ring();
    IoQueue queue(kernel);
    std::array<TestOp, 6> ops;
    for (TestOp& op : ops) {
        op.prepare_read(file.get(), 0, page);
        op.then = [&](TestOp&) {
            kernel.complete_next();
            queue.reap();
        };
        queue.stage(op);
    }
    queue.submit_staged();
    kernel.complete_next();
    kernel.complete_next();
    queue.reap();
    for (const TestOp& op : ops)
        CHECK(op.succeeded_with(page));
    CHECK(queue.idle());
}

TEST_CASE_METHOD(Fixture, "io queue: a reap of a few leaves the others to the next", "[unit][aio]") {
    IoQueue queue(kernel);
    std::array<TestOp, 5> ops;
    for (TestOp& op : ops) {
        op.prepare_read(file.get(), 0, page);
        queue.stage(op);
    }
    queue.submit_staged();
    kernel.complete_all();
    CHECK(queue.reap(2) == 2);
    CHECK(queue.reap_left());
    CHECK(queue.completion_pending());
    CHECK(queue.reap(2) == 2);
    CHECK(queue.reap(2) == 1);
    CHECK_FALSE(queue.reap_left());
    for (const TestOp& op : ops)
        CHECK(op.completions == 1);
}

TEST_CASE_METHOD(Fixture, "io queue: staging forgets what the operation's last run left", "[unit][aio]") {
    IoQueue queue(kernel);
    TestOp op;
    kernel.result_error(1, EIO);
    op.prepare_read(file.get(), 0, page);
    queue.stage(op);
    finish(queue, kernel);
    CHECK(op.failed_with(EIO));
    op.completions = 0;
    op.prepare_read(file.get(), 0, page);
    queue.stage(op);
    finish(queue, kernel);
    CHECK(op.succeeded_with(page));
}

TEST_CASE_METHOD(Fixture, "io queue: an empty operation is completed", "[unit][aio]") {
    IoQueue queue(kernel);
    TestOp op;
    op.kind = IoOp::Kind::write;
    op.fd = file.get();
    queue.stage(op);
    finish(queue, kernel);
    CHECK(op.succeeded_with(0));
}

TEST_CASE_METHOD(Fixture, "io queue: half as many slots are asked for until the host has them", "[unit][aio]") {
    kernel.fail_setups(3);
    IoQueue queue(kernel, 48);
    CHECK(queue.slots() == 6);
    std::array<TestOp, 12> ops;
    for (TestOp& op : ops) {
        op.prepare_read(file.get(), 0, page);
        queue.stage(op);
    }
    queue.submit_staged();
    CHECK(queue.in_kernel() == 6);
    finish(queue, kernel);
    for (const TestOp& op : ops)
        CHECK(op.succeeded_with(page));
}

TEST_CASE_METHOD(Fixture, "io queue: one slot is enough, none is an error that names the limit", "[unit][aio]") {
    kernel.fail_setups(5);
    CHECK(IoQueue(kernel, 48).slots() == 1);
    kernel.fail_setups(6);
    const auto error = thrown([this] { IoQueue(kernel, 48); });
    CHECK(error.code() == std::errc::resource_unavailable_try_again);
    CHECK(std::string{error.what()}.find("aio-max-nr") != std::string::npos);
}

TEST_CASE_METHOD(Fixture, "io queue: another error of io_setup is not asked twice", "[unit][aio]") {
    kernel.fail_setups(1, ENOSYS);
    CHECK(thrown([this] { IoQueue(kernel, 48); }).code() == std::errc::function_not_supported);
}

}  // namespace blktap
