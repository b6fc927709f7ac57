// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Each fault at each operation of one run through the queue, then many random faults: no operation and no byte is lost.
#include <array>
#include <vector>

#include "libblktap/aio/io_queue.hpp"
#include "tests/support/catch.hpp"
#include "tests/unit/aio/aio_fixture.hpp"

namespace blktap {
namespace {

using namespace testing;

constexpr std::size_t page = 4096;

/// Six writes, a flush, then six reads of what was written, through four slots.
struct Run {
    static constexpr std::size_t count = 6;
    std::array<TestOp, count> writes;
    std::array<TestOp, count> reads;
    TestOp flush;

    explicit Run(SimAioKernel& kernel) {
        const UniqueFd file = memory_file(count * page);
        IoQueue queue(kernel, 4);
        for (std::size_t index = 0; index < count; ++index) {
            writes[index].prepare_write(file.get(), index * page, 1024, 4, static_cast<char>('A' + index));
            queue.stage(writes[index]);
        }
        finish(queue, kernel);
        flush.prepare_flush(file.get());
        queue.stage(flush);
        finish(queue, kernel);
        for (std::size_t index = 0; index < count; ++index) {
            reads[index].prepare_read(file.get(), index * page, 2048, 2);
            queue.stage(reads[index]);
        }
        finish(queue, kernel);
    }

    std::vector<const TestOp*> ops() const {
        std::vector<const TestOp*> all{&flush};
        for (const TestOp& op : writes)
            all.push_back(&op);
        for (const TestOp& op : reads)
            all.push_back(&op);
        return all;
    }
    /// Each operation completed once; the data is right wherever no error was reported. Returns the errors.
    std::vector<int> check() const {
        std::vector<int> errors;
        for (const TestOp* op : ops()) {
            REQUIRE(op->completions == 1);
            REQUIRE(op->state == IoOp::State::idle);
            if (op->error) errors.push_back(op->error.value());
        }
        for (std::size_t index = 0; index < count; ++index) {
            if (writes[index].error || reads[index].error) continue;
            REQUIRE(writes[index].succeeded_with(page));
            REQUIRE(reads[index].succeeded_with(page));
            REQUIRE(reads[index].holds(static_cast<char>('A' + index), page));
        }
        return errors;
    }
};

/// Runs with `arm`'s fault at the first place, the second, ... until none is left; `judge` sees each run's errors.
template <class Arm, class Judge>
void at_every_place(Arm arm, Judge judge) {
    std::uint64_t n = 1;
    for (;; ++n) {
        SimAioKernel kernel;
        if (n % 2 == 0) kernel.hide_ring();
        arm(kernel, n);
        const Run run(kernel);
        INFO("fault at " << n);
        const std::vector<int> errors = run.check();
        if (kernel.faults() == 0) {
            CHECK(errors.empty());
            break;
        }
        judge(run, errors);
    }
    CHECK(n > 4);  // the fault did strike, at several places
}

}  // namespace

TEST_CASE("io queue: a submit that takes part or nothing for now is invisible, wherever it strikes", "[unit][aio]") {
    const auto invisible = [](const Run&, const std::vector<int>& errors) { CHECK(errors.empty()); };
    for (const int error : {EAGAIN, EINTR}) {
        at_every_place([error](SimAioKernel& kernel, std::uint64_t n) { kernel.fail_submit(n, error); }, invisible);
    }
    for (const unsigned taken : {1U, 2U, 3U}) {
        std::uint64_t struck = 0;
        for (std::uint64_t n = 1; n <= 20; ++n) {
            SimAioKernel kernel;
            kernel.partial_submit(n, taken);
            CHECK(Run(kernel).check().empty());
            struck += kernel.faults();
        }
        CHECK(struck >= 2);
    }
}

TEST_CASE("io queue: a refused operation fails alone, wherever it stands", "[unit][aio]") {
    for (const int error : {EINVAL, EBADF, ENOMEM}) {
        at_every_place([error](SimAioKernel& kernel, std::uint64_t n) { kernel.refuse_operation(n, error); },
                       [error](const Run&, const std::vector<int>& errors) { CHECK(errors == std::vector{error}); });
    }
}

TEST_CASE("io queue: a failed operation fails alone, wherever it stands", "[unit][aio]") {
    for (const int error : {EIO, ENOSPC}) {
        at_every_place([error](SimAioKernel& kernel, std::uint64_t n) { kernel.result_error(n, error); },
                       [error](const Run&, const std::vector<int>& errors) { CHECK(errors == std::vector{error}); });
    }
}

TEST_CASE("io queue: a result of not now is invisible wherever it strikes, but for the flush", "[unit][aio]") {
    at_every_place([](SimAioKernel& kernel, std::uint64_t n) { kernel.result_error(n, EAGAIN); },
                   [](const Run& run, const std::vector<int>& errors) {
                       CHECK(errors == (run.flush.error ? std::vector{EAGAIN} : std::vector<int>{}));
                   });
}

TEST_CASE("io queue: a short result is invisible, wherever it strikes", "[unit][aio]") {
    for (const std::size_t bytes : {1U, 512U, 1024U, 1025U, 4095U}) {
        std::uint64_t struck = 0;
        for (std::uint64_t n = 1; n <= 15; ++n) {  // 13 operations, one of them the flush that cannot be short
            SimAioKernel kernel;
            kernel.short_result(n, bytes);
            CHECK(Run(kernel).check().empty());
            struck += kernel.faults();
        }
        CHECK(struck == 12);
    }
}

TEST_CASE("io queue: any mixture of faults loses no operation and no byte", "[unit][aio]") {
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        INFO("seed " << seed);
        SimAioKernel kernel(seed);
        SimAioKernel::Chances chances;
        chances.submit_refused = 200;
        chances.submit_partial = 300;
        chances.result_short = 300;
        chances.result_transient = 200;
        const bool with_errors = seed % 2 == 0;
        chances.result_eio = with_errors ? 50 : 0;
        chances.write_enospc = with_errors ? 50 : 0;
        kernel.set_chances(chances);
        const std::vector<int> errors = Run(kernel).check();
        CHECK(kernel.faults() > 0);
        for (const int error : errors)
            CHECK((error == EIO || error == ENOSPC));
        if (!with_errors) CHECK(errors.empty());
    }
}

}  // namespace blktap
