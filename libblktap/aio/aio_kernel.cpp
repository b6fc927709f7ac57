// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/aio/aio_kernel.hpp"

namespace blktap {

int LinuxAioKernel::setup(unsigned slots, io_context_t* context) noexcept {
    return ::io_setup(static_cast<int>(slots), context);
}

int LinuxAioKernel::submit(io_context_t context, long count, iocb** control_blocks) noexcept {
    return ::io_submit(context, count, control_blocks);
}

int LinuxAioKernel::get_events(io_context_t context, long minimum, long maximum, io_event* events,
                               timespec* timeout) noexcept {
    return ::io_getevents(context, minimum, maximum, events, timeout);
}

int LinuxAioKernel::destroy(io_context_t context) noexcept {
    return ::io_destroy(context);
}

}  // namespace blktap
