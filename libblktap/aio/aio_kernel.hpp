// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// AioKernel: the four calls of Linux AIO that IoQueue makes, as a seam. The real implementation forwards to libaio; the
// simulated one of the tests fails the n-th call, submits part of a batch or answers in any order.
#pragma once

#include <ctime>

#include <libaio.h>

namespace blktap {

/// Results are libaio's: a count or 0, or a negative errno. Layouts and rules: io_submit(2) and the aio(7) family.
class AioKernel {
  public:
    virtual ~AioKernel() = default;
    virtual int setup(unsigned slots, io_context_t* context) noexcept = 0;
    virtual int submit(io_context_t context, long count, iocb** control_blocks) noexcept = 0;
    virtual int get_events(io_context_t context, long minimum, long maximum, io_event* events,
                           timespec* timeout) noexcept = 0;
    virtual int destroy(io_context_t context) noexcept = 0;
};

class LinuxAioKernel final : public AioKernel {
  public:
    int setup(unsigned slots, io_context_t* context) noexcept override;
    int submit(io_context_t context, long count, iocb** control_blocks) noexcept override;
    int get_events(io_context_t context, long minimum, long maximum, io_event* events,
                   timespec* timeout) noexcept override;
    int destroy(io_context_t context) noexcept override;
};

}  // namespace blktap
