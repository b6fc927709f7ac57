// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// How the queue handles a kernel that refuses, accepts a part, answers short or fails: each rule by itself.
#include <array>

#include "libblktap/aio/io_queue.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/aio/aio_fixture.hpp"

namespace blktap {
namespace {

using namespace testing;

constexpr std::size_t page = 4096;

struct Fixture {
    SimAioKernel kernel;
    UniqueFd file = memory_file(16 * page, 'a');
    IoQueue queue{kernel, 8};
    std::array<TestOp, 4> reads;

    void stage_reads() {
        for (TestOp& op : reads) {
            op.prepare_read(file.get(), 0, page);
            queue.stage(op);
        }
    }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "io queue: what a partial submit left goes first with the next", "[unit][aio]") {
    kernel.partial_submit(1, 1);
    stage_reads();
    queue.submit_staged();
    CHECK(kernel.submit_calls() == 1);
    CHECK(queue.in_kernel() == 1);
    CHECK(queue.can_submit());
    queue.submit_staged();
    CHECK(kernel.submit_calls() == 2);
    CHECK(queue.in_kernel() == 4);
    finish(queue, kernel);
    for (const TestOp& op : reads)
        CHECK(op.succeeded_with(page));
}

TEST_CASE_METHOD(Fixture, "io queue: after EAGAIN nothing is submitted before a completion", "[unit][aio]") {
    kernel.fail_submit(2, EAGAIN);
    stage_reads();
    queue.submit_staged();
    TestOp late;
    late.prepare_read(file.get(), 0, page);
    queue.stage(late);
    queue.submit_staged();
    CHECK_FALSE(queue.can_submit());
    CHECK_FALSE(queue.needs_retry_timer());
    queue.submit_staged();
    CHECK(kernel.submit_calls() == 2);
    kernel.complete_next();
    queue.reap();
    CHECK(queue.can_submit());
    finish(queue, kernel);
    CHECK(late.succeeded_with(page));
    CHECK(queue.stats().refused_submits == 1);
}

TEST_CASE_METHOD(Fixture, "io queue: storage that answers \"not now\" without end is asked again by the timer only",
                 "[unit][aio]") {
    const int error = GENERATE(EAGAIN, EINTR);
    for (std::uint64_t n = 1; n <= 40; ++n)
        kernel.result_error(n, error);
    stage_reads();
    for (int turn = 0; turn < 100; ++turn) {
        queue.submit_staged();
        kernel.complete_all();
        queue.reap();
    }
    // Four operations, each tried once and retried three times.
    CHECK(queue.stats().submitted == 16);
    CHECK(queue.needs_retry_timer());
    CHECK(queue.refused_count() == 4);
    CHECK_FALSE(queue.idle());
    CHECK_FALSE(queue.can_submit());
    queue.retry();
    CHECK(queue.can_submit());
    CHECK(queue.refused_count() == 4);  // refused so far, and perhaps again
    for (int turn = 0; turn < 100; ++turn) {
        queue.submit_staged();
        kernel.complete_all();
        queue.reap();
    }
    CHECK(queue.stats().submitted == 20);
    CHECK(queue.refused_count() == 4);
    finish(queue, kernel);
    CHECK(queue.refused_count() == 0);
    CHECK_FALSE(queue.needs_retry_timer());
    for (const TestOp& op : reads)
        CHECK(op.succeeded_with(page));
}

TEST_CASE_METHOD(Fixture, "io queue: EAGAIN with nothing in the kernel asks for a timer", "[unit][aio]") {
    kernel.fail_submit(1, EAGAIN);
    stage_reads();
    queue.submit_staged();
    CHECK(queue.needs_retry_timer());
    CHECK_FALSE(queue.can_submit());
    CHECK_FALSE(queue.completion_pending());
    queue.retry();
    CHECK(queue.can_submit());
    CHECK_FALSE(queue.needs_retry_timer());
    finish(queue, kernel);
    for (const TestOp& op : reads)
        CHECK(op.succeeded_with(page));
}

TEST_CASE_METHOD(Fixture, "io queue: an interrupted submit leaves everything staged", "[unit][aio]") {
    kernel.fail_submit(1, EINTR);
    stage_reads();
    queue.submit_staged();
    CHECK(queue.in_kernel() == 0);
    CHECK(queue.can_submit());
    finish(queue, kernel);
    for (const TestOp& op : reads)
        CHECK(op.succeeded_with(page));
}

TEST_CASE_METHOD(Fixture, "io queue: only the first operation of a refused batch fails, through reap", "[unit][aio]") {
    kernel.refuse_operation(1, EINVAL);
    stage_reads();
    queue.submit_staged();
    CHECK(reads[0].completions == 0);
    CHECK(queue.completion_pending());
    CHECK_FALSE(queue.idle());
    CHECK(queue.reap() == 1);
    CHECK(reads[0].failed_with(EINVAL));
    CHECK(queue.can_submit());
    finish(queue, kernel);
    for (std::size_t index = 1; index < reads.size(); ++index)
        CHECK(reads[index].succeeded_with(page));
}

TEST_CASE_METHOD(Fixture, "io queue: an operation refused in the middle of a batch takes no other with it",
                 "[unit][aio]") {
    kernel.refuse_operation(3, EBADF);
    stage_reads();
    queue.submit_staged();
    CHECK(queue.in_kernel() == 2);
    finish(queue, kernel);
    CHECK(reads[2].failed_with(EBADF));
    for (const std::size_t index : {0U, 1U, 3U})
        CHECK(reads[index].succeeded_with(page));
}

TEST_CASE_METHOD(Fixture, "io queue: what a completion makes fail waits for the next reap", "[unit][aio]") {
    for (std::uint64_t n = 1; n <= 10; ++n)
        kernel.refuse_operation(n, EINVAL);
    TestOp op;
    op.prepare_read(file.get(), 0, page);
    op.then = [&](TestOp& self) {
        if (self.completions == 10) return;
        queue.stage(self);
        queue.submit_staged();
    };
    queue.stage(op);
    queue.submit_staged();
    for (int reap = 1; reap <= 10; ++reap) {
        CHECK(queue.reap() == 1);
        CHECK(op.completions == reap);
    }
    CHECK(queue.idle());
}

TEST_CASE_METHOD(Fixture, "io queue: the tail of a short read is read before the operation completes", "[unit][aio]") {
    // Inside the first piece, at a border of pieces, inside a later one.
    const std::size_t moved = GENERATE(as<std::size_t>{}, 1, 512, 1024, 1500, 3584);
    kernel.short_result(1, moved);
    TestOp op;
    for (char part = 0; part < 8; ++part) {
        const std::vector<char> content(512, static_cast<char>('0' + part));
        REQUIRE(::pwrite(file.get(), content.data(), 512, 512 * part) == 512);
    }
    op.prepare_read(file.get(), 0, 512, 8);
    queue.stage(op);
    queue.submit_staged();
    kernel.complete_all();
    CHECK(queue.reap() == 0);
    CHECK(queue.can_submit());
    finish(queue, kernel);
    CHECK(op.succeeded_with(page));
    for (std::size_t at = 0; at < page; ++at)
        REQUIRE(op.memory.data()[at] == std::byte('0' + at / 512));
    CHECK(queue.stats().resubmitted == 1);
}

TEST_CASE_METHOD(Fixture, "io queue: a write may take many short steps", "[unit][aio]") {
    for (std::uint64_t n = 1; n <= 7; ++n)
        kernel.short_result(n, 512);
    TestOp op;
    op.prepare_write(file.get(), page, page, 1, 'w');
    queue.stage(op);
    finish(queue, kernel);
    CHECK(op.succeeded_with(page));
    CHECK(file_holds(file.get(), page, page, 'w'));
    CHECK(file_holds(file.get(), 2 * page, page, 'a'));
    CHECK(queue.stats().resubmitted == 7);
}

TEST_CASE_METHOD(Fixture, "io queue: a tail goes to the kernel before what is new", "[unit][aio]") {
    kernel.short_result(1, 512);
    TestOp old, fresh;
    old.prepare_read(file.get(), 0, page);
    queue.stage(old);
    queue.submit_staged();
    fresh.prepare_read(file.get(), 0, page);
    queue.stage(fresh);
    kernel.complete_all();
    queue.reap();
    queue.submit_staged();
    kernel.complete_next();
    queue.reap();
    CHECK(old.succeeded_with(page));
    CHECK(fresh.completions == 0);
    finish(queue, kernel);
}

TEST_CASE_METHOD(Fixture, "io queue: a read that meets the end of the file tells how far it came, without an error",
                 "[unit][aio]") {
    REQUIRE(::ftruncate(file.get(), page + 700) == 0);
    TestOp across, beyond;
    across.prepare_read(file.get(), page, 512, 8);
    beyond.prepare_read(file.get(), 8 * page, page);
    queue.stage(across);
    queue.stage(beyond);
    finish(queue, kernel);
    CHECK(across.succeeded_with(700));
    CHECK(across.holds('a', 700));
    CHECK(beyond.succeeded_with(0));
}

TEST_CASE_METHOD(Fixture, "io queue: a write that moves nothing is out of space", "[unit][aio]") {
    kernel.short_result(1, 1024);
    kernel.short_result(2, 0);
    TestOp op;
    op.prepare_write(file.get(), 0, page, 1, 'w');
    queue.stage(op);
    finish(queue, kernel);
    CHECK(op.failed_with(ENOSPC));
    CHECK(op.transferred_bytes == 1024);
}

TEST_CASE_METHOD(Fixture, "io queue: an error after a short result keeps the count of what was moved", "[unit][aio]") {
    kernel.short_result(1, 2048);
    kernel.result_error(2, EIO);
    TestOp op;
    op.prepare_write(file.get(), 0, page, 1, 'w');
    queue.stage(op);
    finish(queue, kernel);
    CHECK(op.failed_with(EIO));
    CHECK(op.transferred_bytes == 2048);
    CHECK(file_holds(file.get(), 0, 2048, 'w'));
}

TEST_CASE_METHOD(Fixture, "io queue: a completion that says not now is tried again", "[unit][aio]") {
    kernel.result_error(1, GENERATE(EAGAIN, EINTR));
    stage_reads();
    finish(queue, kernel);
    for (const TestOp& op : reads)
        CHECK(op.succeeded_with(page));
    CHECK(queue.stats().resubmitted == 1);
}

TEST_CASE_METHOD(Fixture, "io queue: a flush that failed is never tried again, whatever the error", "[unit][aio]") {
    const int error = GENERATE(EIO, ENOSPC, EAGAIN, EINTR);
    kernel.result_error(1, error);
    TestOp flush;
    flush.prepare_flush(file.get());
    queue.stage(flush);
    finish(queue, kernel);
    CHECK(flush.failed_with(error));
    CHECK(queue.stats().resubmitted == 0);
}

}  // namespace blktap
