// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tests/support/sim_aio_kernel.hpp"

#include <algorithm>
#include <atomic>
#include <limits>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "libblktap/base/assert.hpp"

namespace blktap::testing {
namespace {

constexpr unsigned flag_resfd = 1;  // IOCB_FLAG_RESFD of linux/aio_abi.h, which clashes with libaio.h
constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();

/// struct aio_ring of Linux, fs/aio.c.
struct RingHeader {
    std::uint32_t id = 0;
    std::uint32_t count = 0;
    std::uint32_t head = 0;
    std::uint32_t tail = 0;
    std::uint32_t magic = 0xa10a10a1;
    std::uint32_t compatible_features = 1;
    std::uint32_t incompatible_features = 0;
    std::uint32_t header_size_bytes = sizeof(RingHeader);
};

/// Returns the first `limit` bytes of `data`.
std::vector<iovec> cut(std::vector<iovec> data, std::size_t limit) {
    for (iovec& part : data) {
        part.iov_len = std::min(part.iov_len, limit);
        limit -= part.iov_len;
    }
    return data;
}

std::size_t size_bytes(const std::vector<iovec>& data) noexcept {
    std::size_t sum = 0;
    for (const iovec& part : data)
        sum += part.iov_len;
    return sum;
}

}  // namespace

struct SimAioKernel::Context {
    // Linux rounds up (48 slots can become 127), and so does this, to catch code that relies on the exact number.
    explicit Context(unsigned slots_asked)
        : slots(2 * slots_asked), memory(sizeof(RingHeader) / sizeof(io_event) + slots + 1) {
        header() = RingHeader{};
        header().count = slots + 1;  // a full ring must not look empty; small, so that tests wrap it
    }
    RingHeader& header() noexcept { return *reinterpret_cast<RingHeader*>(memory.data()); }
    io_event& event(std::uint32_t index) noexcept { return memory[sizeof(RingHeader) / sizeof(io_event) + index]; }
    io_context_t id() noexcept { return reinterpret_cast<io_context_t>(memory.data()); }
    std::uint32_t load_head() noexcept { return std::atomic_ref{header().head}.load(std::memory_order_acquire); }
    std::uint32_t unreaped() noexcept { return (header().tail + header().count - load_head()) % header().count; }
    void push(const io_event& result) noexcept {
        BLKTAP_ASSERT(unreaped() < slots);
        event(header().tail) = result;
        std::atomic_ref{header().tail}.store((header().tail + 1) % header().count, std::memory_order_release);
    }

    const unsigned slots;
    std::vector<io_event> memory;  ///< the header, then the events: 32 bytes each
};

static_assert(sizeof(RingHeader) == 32 && sizeof(io_event) == 32);

SimAioKernel::SimAioKernel(std::uint64_t seed) : random_(seed) {}

SimAioKernel::~SimAioKernel() {
    BLKTAP_ASSERT(contexts_.empty());
}

SimAioKernel::Context& SimAioKernel::find(io_context_t context) noexcept {
    const auto found = std::find_if(contexts_.begin(), contexts_.end(),
                                    [context](const auto& candidate) { return candidate->id() == context; });
    BLKTAP_ASSERT(found != contexts_.end());
    return **found;
}

bool SimAioKernel::happens(unsigned per_mille) noexcept {
    return per_mille > 0 && random_() % 1000 < per_mille;
}

void SimAioKernel::fail_setups(unsigned count, int error) noexcept {
    setups_to_fail_ = count;
    setup_error_ = error;
}

int SimAioKernel::setup(unsigned slots, io_context_t* context) noexcept {
    if (setups_to_fail_ > 0) {
        --setups_to_fail_;
        ++faults_;
        return -setup_error_;
    }
    slots_ = slots;
    contexts_.push_back(std::make_unique<Context>(slots));
    if (ring_hidden_) contexts_.back()->header().incompatible_features = 1;
    *context = contexts_.back()->id();
    return 0;
}

SimAioKernel::SubmitFault SimAioKernel::draw_submit_fault(long count) noexcept {
    if (const auto fault = submit_faults_.find(submit_calls_); fault != submit_faults_.end()) return fault->second;
    if (happens(chances_.submit_refused)) return {random_() % 2 == 0 ? EAGAIN : EINTR, 0};
    if (count > 1 && happens(chances_.submit_partial)) {
        return {0, 1 + static_cast<unsigned>(random_() % static_cast<std::uint64_t>(count - 1))};
    }
    return {0, 0};
}

int SimAioKernel::submit(io_context_t id, long count, iocb** control_blocks) noexcept {
    Context& context = find(id);
    ++submit_calls_;
    const auto asked = static_cast<std::size_t>(std::max(count, 0L));
    std::size_t allowed = asked;
    if (const SubmitFault fault = draw_submit_fault(count); fault.error != 0) {
        ++faults_;
        return -fault.error;
    } else if (fault.count != 0 && fault.count < asked) {
        ++faults_;
        allowed = fault.count;
    }
    if (allowed > 0) {
        if (const auto refused = refusals_.find(operations_ + 1); refused != refusals_.end()) {
            ++operations_;
            ++faults_;
            return -refused->second;
        }
    }
    const std::size_t taken = take(context, allowed, control_blocks);
    if (taken == 0 && asked > 0) return -EAGAIN;
    for (std::size_t index = 0; automatic_ && index < taken; ++index)
        complete(held_.size() - (taken - index));
    return static_cast<int>(taken);
}

/// Takes operations until the slots are full or one is to be refused.
std::size_t SimAioKernel::take(Context& context, std::size_t count, iocb** control_blocks) noexcept {
    const auto in_flight = std::count_if(held_.begin(), held_.end(),
                                         [&context](const Held& operation) { return operation.context == &context; });
    const std::size_t room = context.slots - context.unreaped() - static_cast<std::size_t>(in_flight);
    std::size_t taken = 0;
    for (; taken < std::min(count, room) && !refusals_.contains(operations_ + 1); ++taken, ++operations_) {
        iocb* const block = control_blocks[taken];
        Held operation{&context, *block, block, {}};
        if (block->aio_lio_opcode == IO_CMD_PREADV || block->aio_lio_opcode == IO_CMD_PWRITEV) {
            const auto* data = static_cast<const iovec*>(block->u.c.buf);
            operation.data.assign(data, data + block->u.c.nbytes);
        }
        held_.push_back(std::move(operation));
    }
    return taken;
}

bool SimAioKernel::complete_next() noexcept {
    if (held_.empty()) return false;
    complete(0);
    return true;
}

bool SimAioKernel::complete_any() noexcept {
    if (held_.empty()) return false;
    complete(static_cast<std::size_t>(random_() % held_.size()));
    return true;
}

std::size_t SimAioKernel::complete_all() noexcept {
    std::size_t count = 0;
    while (complete_next())
        ++count;
    return count;
}

std::size_t SimAioKernel::complete_all_shuffled() noexcept {
    std::size_t count = 0;
    while (complete_any())
        ++count;
    return count;
}

void SimAioKernel::complete(std::size_t index) noexcept {
    const auto place = held_.begin() + static_cast<std::ptrdiff_t>(index);
    Held operation = std::move(*place);
    held_.erase(place);
    const long result = perform(operation);
    const iocb& block = operation.control_block;
    operation.context->push({block.data, operation.address, static_cast<unsigned long>(result), 0});
    if ((block.u.c.flags & flag_resfd) != 0) ::eventfd_write(static_cast<int>(block.u.c.resfd), 1);
}

SimAioKernel::ResultFault SimAioKernel::draw_result_fault(const Held& operation) noexcept {
    const bool writes = operation.control_block.aio_lio_opcode == IO_CMD_PWRITEV;
    const std::size_t size = size_bytes(operation.data);
    if (const auto fault = result_faults_.find(results_); fault != result_faults_.end()) return fault->second;
    if (!operation.data.empty() && happens(chances_.result_transient)) return {EAGAIN, 0};
    if (happens(chances_.result_eio)) return {EIO, 0};
    if (writes && happens(chances_.write_enospc)) return {ENOSPC, 0};
    if (size > 512 && happens(chances_.result_short)) return {0, 512 * (1 + random_() % ((size - 1) / 512))};
    return {0, no_limit};
}

long SimAioKernel::perform(Held& operation) noexcept {
    ++results_;
    const ResultFault fault = draw_result_fault(operation);
    if (fault.error != 0) {
        ++faults_;
        return -fault.error;
    }
    const iocb& block = operation.control_block;
    if (fault.bytes < size_bytes(operation.data)) {
        ++faults_;
        operation.data = cut(std::move(operation.data), fault.bytes);
    }
    const auto count = static_cast<int>(operation.data.size());
    long result = -1;
    errno = EINVAL;
    switch (block.aio_lio_opcode) {
        case IO_CMD_PREADV:
            result = ::preadv(block.aio_fildes, operation.data.data(), count, block.u.c.offset);
            break;
        case IO_CMD_PWRITEV:
            result = ::pwritev(block.aio_fildes, operation.data.data(), count, block.u.c.offset);
            break;
        case IO_CMD_FDSYNC:
            result = ::fdatasync(block.aio_fildes);
            break;
        default:
            break;
    }
    return result < 0 ? -errno : result;
}

int SimAioKernel::get_events(io_context_t id, long, long maximum, io_event* events, timespec*) noexcept {
    ++get_events_calls_;
    Context& context = find(id);
    int count = 0;
    for (; count < maximum && context.unreaped() > 0; ++count) {
        events[count] = context.event(context.header().head);
        context.header().head = (context.header().head + 1) % context.header().count;
    }
    return count;
}

int SimAioKernel::destroy(io_context_t id) noexcept {
    Context& context = find(id);
    BLKTAP_ASSERT(std::none_of(held_.begin(), held_.end(),
                               [&context](const Held& operation) { return operation.context == &context; }));
    std::erase_if(contexts_, [&context](const auto& candidate) { return candidate.get() == &context; });
    return 0;
}

}  // namespace blktap::testing
