// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// How each driver makes its file durable: by AIO, by a worker if AIO cannot, and never with a second attempt.

#include "drivers/qcow2/create.hpp"
#include "drivers/vhd/create.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/images/driver_harness.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace blktap;
using namespace blktap::testing;

namespace {

/// A kernel that answers each flush with `answer`, and refuses the first `refusals` flushes at submission instead.
class FlushKernel final : public AioKernel {
  public:
    int refusals = 0;
    long answer = 0;
    int flushes = 0;

    int setup(unsigned slots, io_context_t* context) noexcept override { return linux_.setup(slots, context); }
    int submit(io_context_t context, long count, iocb** blocks) noexcept override {
        if (blocks[0]->aio_lio_opcode != IO_CMD_FDSYNC) return linux_.submit(context, count, blocks);
        ++flushes;
        if (refusals > 0) return --refusals, -EINVAL;
        return answer != 0 ? static_cast<int>(answer) : linux_.submit(context, 1, blocks);
    }
    int get_events(io_context_t context, long minimum, long maximum, io_event* events,
                   timespec* timeout) noexcept override {
        return linux_.get_events(context, minimum, maximum, events, timeout);
    }
    int destroy(io_context_t context) noexcept override { return linux_.destroy(context); }

  private:
    LinuxAioKernel linux_;
};

/// An image of each format in turn.
std::string make_image(const TemporaryDirectory& directory) {
    const std::string format = GENERATE("raw", "qcow2", "vhd");
    const std::string path = directory.path("disk");
    if (format == "raw") {
        directory.make_file("disk", 1 << 20);
    } else if (format == "qcow2") {
        qcow2::NewImage image;
        image.path = path;
        image.size_bytes = 1 << 20;
        qcow2::create_image(image);
    } else {
        vhd::NewImage image;
        image.path = path;
        image.size_bytes = 1 << 20;
        vhd::create_image(image);
    }
    return format + ":" + path;
}

}  // namespace

TEST_CASE("file sync: a read-only image has nothing to flush", "[unit][drivers]") {
    FlushKernel kernel;
    DriverHarness harness{kernel};
    const TemporaryDirectory directory;
    const std::string image = make_image(directory);
    CAPTURE(image);
    const auto driver = harness.open(image, Access::read_only);
    CHECK_FALSE(harness.flush(*driver));
    CHECK(kernel.flushes == 0);
}

TEST_CASE("file sync: a kernel without flush in AIO is asked once, then a worker flushes", "[unit][drivers]") {
    FlushKernel kernel;
    kernel.refusals = 100;
    DriverHarness harness{kernel};
    const TemporaryDirectory directory;
    const std::string image = make_image(directory);
    CAPTURE(image);
    const auto driver = harness.open(image);
    CHECK_FALSE(harness.flush(*driver));
    CHECK_FALSE(harness.flush(*driver));
    CHECK(kernel.flushes == 1);
}

TEST_CASE("file sync: once a flush has worked, EINVAL is the disk's answer and not retried", "[unit][drivers]") {
    FlushKernel kernel;
    DriverHarness harness{kernel};
    const TemporaryDirectory directory;
    const std::string image = make_image(directory);
    CAPTURE(image);
    const auto driver = harness.open(image);
    REQUIRE_FALSE(harness.flush(*driver));
    kernel.refusals = 1;
    CHECK(harness.flush(*driver) == std::errc::invalid_argument);
}

TEST_CASE("file sync: any other failure of a flush is passed on", "[unit][drivers]") {
    FlushKernel kernel;
    kernel.answer = -EIO;
    DriverHarness harness{kernel};
    const TemporaryDirectory directory;
    const std::string image = make_image(directory);
    CAPTURE(image);
    const auto driver = harness.open(image);
    CHECK(harness.flush(*driver) == std::errc::io_error);
    CHECK(kernel.flushes == 1);
}
