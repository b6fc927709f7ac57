// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/support/sim_aio_kernel.hpp"

#include <array>

#include "tests/support/catch.hpp"
#include "tests/unit/aio/aio_fixture.hpp"

namespace blktap::testing {
namespace {

constexpr std::size_t page = 4096;

struct Fixture {
    UniqueFd file = memory_file(16 * page, 'a');

    /// The order in which ten writes to one place are done: the last one's letter stays.
    std::string order_of(std::uint64_t seed) {
        SimAioKernel kernel(seed);
        IoQueue queue(kernel);
        std::array<TestOp, 10> ops;
        std::string order;
        for (std::size_t index = 0; index < ops.size(); ++index) {
            ops[index].prepare_write(file.get(), 0, 512, 1, static_cast<char>('0' + index));
            ops[index].then = [&order](TestOp& op) { order += static_cast<char>(op.memory.data()[0]); };
            queue.stage(ops[index]);
        }
        queue.submit_staged();
        kernel.complete_all_shuffled();
        queue.reap();
        CHECK(file_holds(file.get(), 0, 512, order.back()));
        return order;
    }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "sim aio kernel: a held write has not happened, a released one has", "[unit][aio]") {
    SimAioKernel kernel;
    IoQueue queue(kernel);
    TestOp write;
    write.prepare_write(file.get(), 0, page, 1, 'w');
    queue.stage(write);
    queue.submit_staged();
    CHECK(kernel.held() == 1);
    CHECK(file_holds(file.get(), 0, page, 'a'));
    CHECK(kernel.complete_next());
    CHECK(file_holds(file.get(), 0, page, 'w'));
    CHECK_FALSE(kernel.complete_next());
    queue.reap();
}

TEST_CASE_METHOD(Fixture, "sim aio kernel: in automatic mode an operation is done as it is submitted", "[unit][aio]") {
    SimAioKernel kernel;
    kernel.complete_at_submit();
    IoQueue queue(kernel);
    TestOp first, second, held;
    first.prepare_read(file.get(), 0, page);
    second.prepare_read(file.get(), 0, page);
    queue.stage(first);
    queue.stage(second);
    queue.submit_staged();
    CHECK(queue.reap() == 2);
    kernel.hold();
    held.prepare_read(file.get(), 0, page);
    queue.stage(held);
    queue.submit_staged();
    CHECK(queue.reap() == 0);
    kernel.complete_all();
    CHECK(queue.reap() == 1);
}

TEST_CASE_METHOD(Fixture, "sim aio kernel: the order is the seed's", "[unit][aio]") {
    const std::string order = order_of(7);
    CHECK(order.size() == 10);
    CHECK(order == order_of(7));
    CHECK(order != order_of(8));
    CHECK(order != "0123456789");
}

TEST_CASE_METHOD(Fixture, "sim aio kernel: takes no more than twice the slots asked for", "[unit][aio]") {
    SimAioKernel kernel;
    io_context_t context = nullptr;
    REQUIRE(kernel.setup(1, &context) == 0);
    std::array<iocb, 3> blocks{};
    std::array<iocb*, 3> pointers{};
    for (std::size_t index = 0; index < blocks.size(); ++index) {
        ::io_prep_fdsync(&blocks[index], file.get());
        pointers[index] = &blocks[index];
    }
    CHECK(kernel.submit(context, 3, pointers.data()) == 2);
    CHECK(kernel.submit(context, 1, &pointers[2]) == -EAGAIN);
    kernel.complete_all();
    CHECK(kernel.submit(context, 1, &pointers[2]) == -EAGAIN);  // done, but not reaped
    std::array<io_event, 4> events{};
    CHECK(kernel.get_events(context, 0, 4, events.data(), nullptr) == 2);
    CHECK(events[0].obj == &blocks[0]);
    CHECK(kernel.submit(context, 1, &pointers[2]) == 1);
    kernel.complete_all();
    kernel.destroy(context);
}

TEST_CASE_METHOD(Fixture, "sim aio kernel: keeps two contexts apart", "[unit][aio]") {
    SimAioKernel kernel;
    IoQueue one(kernel);
    IoQueue other(kernel);
    TestOp op;
    op.prepare_read(file.get(), 0, page);
    one.stage(op);
    one.submit_staged();
    kernel.complete_all();
    CHECK(other.reap() == 0);
    CHECK(one.reap() == 1);
}

TEST_CASE_METHOD(Fixture, "sim aio kernel: an error of the descriptor is the operation's", "[unit][aio]") {
    SimAioKernel kernel;
    IoQueue queue(kernel);
    TestOp op;
    op.prepare_read(-1, 0, page);
    queue.stage(op);
    finish(queue, kernel);
    CHECK(op.failed_with(EBADF));
    CHECK(kernel.faults() == 0);
}

}  // namespace blktap::testing
