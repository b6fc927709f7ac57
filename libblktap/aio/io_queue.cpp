// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/aio/io_queue.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <poll.h>
#include <string>
#include <sys/eventfd.h>

#include "libblktap/base/assert.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/log.hpp"

namespace blktap {

/// What io_setup() maps at the address that it returns as the context: struct aio_ring, followed by its events.
struct IoQueue::KernelRing {
    std::uint32_t id;
    std::uint32_t count;  ///< events in the ring
    std::uint32_t head;   ///< next to reap; ours
    std::uint32_t tail;   ///< next to be written; the kernel's
    std::uint32_t magic;
    std::uint32_t compatible_features;
    std::uint32_t incompatible_features;
    std::uint32_t header_size_bytes;

    bool is_known_layout() const noexcept {
        constexpr std::uint32_t magic_of_aio_ring = 0xa10a10a1;
        return magic == magic_of_aio_ring && incompatible_features == 0 && header_size_bytes == sizeof(KernelRing);
    }
    // Acquire: the event is read after the tail that announces it.
    std::uint32_t load_tail() noexcept { return std::atomic_ref{tail}.load(std::memory_order_acquire); }
    // Release: the event has been read before its place is given back.
    void store_head(std::uint32_t value) noexcept { std::atomic_ref{head}.store(value, std::memory_order_release); }
    const io_event& event(std::uint32_t index) const noexcept {
        return reinterpret_cast<const io_event*>(this + 1)[index];
    }
};

namespace {

UniqueFd make_completion_event() {
    UniqueFd event{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (!event) throw_system_error("eventfd");
    return event;
}

/// Creates the context with `slots` slots, or fewer if the host has fewer left. Returns the number of slots.
unsigned set_up(AioKernel& kernel, unsigned slots, io_context_t& context) {
    BLKTAP_ASSERT(slots > 0);
    unsigned got = slots;
    int result = kernel.setup(got, &context);
    while (result == -EAGAIN && got > 1) {
        got /= 2;
        result = kernel.setup(got, &context);
    }
    if (result == -EAGAIN) throw_error({EAGAIN, std::system_category()}, "io_setup: sysctl fs.aio-max-nr is used up");
    if (result < 0) throw_error({-result, std::system_category()}, "io_setup");
    if (got < slots) {
        log::warning(
            "aio.slots",
            {{"wanted", std::to_string(slots)}, {"got", std::to_string(got)}, {"hint", "raise sysctl fs.aio-max-nr"}});
    }
    return got;
}

void prepare(IoOp& op, int completion_fd) noexcept {
    const auto count = static_cast<int>(op.data.size());
    const auto offset = static_cast<long long>(op.offset_bytes);
    switch (op.kind) {
        case IoOp::Kind::read:
            ::io_prep_preadv(&op.control_block, op.fd, op.data.data(), count, offset);
            break;
        case IoOp::Kind::write:
            ::io_prep_pwritev(&op.control_block, op.fd, op.data.data(), count, offset);
            break;
        case IoOp::Kind::fdatasync:
            ::io_prep_fdsync(&op.control_block, op.fd);
            break;
    }
    ::io_set_eventfd(&op.control_block, completion_fd);
    op.control_block.data = &op;
}

/// Advances offset and data of the operation by `bytes`, which are done.
void advance(IoOp& op, std::size_t bytes) noexcept {
    op.transferred_bytes += bytes;
    op.remaining_bytes -= bytes;
    op.offset_bytes += bytes;
    while (!op.data.empty() && bytes >= op.data.front().iov_len) {
        bytes -= op.data.front().iov_len;
        op.data = op.data.subspan(1);
    }
    if (op.data.empty()) return;
    iovec& first = op.data.front();
    first.iov_base = static_cast<std::byte*>(first.iov_base) + bytes;
    first.iov_len -= bytes;
}

/// How often in a row an operation that the storage refuses for now is retried at once: mostly that is enough.
constexpr std::uint8_t refusals_at_once = 3;

/// An error that says "not now" rather than "no". Never for a flush: Linux reports a lost write once, so that the
/// second fdatasync succeeds although the data is gone.
bool is_transient(const IoOp& op, long result) noexcept {
    return (result == -EAGAIN || result == -EINTR) && op.kind != IoOp::Kind::fdatasync;
}

}  // namespace

IoQueue::IoQueue(AioKernel& kernel, unsigned slots)
    : kernel_(kernel), completion_event_(make_completion_event()), batch_(slots) {
    slots_ = set_up(kernel_, slots, context_);
    auto* ring = reinterpret_cast<KernelRing*>(context_);
    if (ring->is_known_layout()) ring_ = ring;
}

IoQueue::~IoQueue() {
    BLKTAP_ASSERT(idle());
    kernel_.destroy(context_);
}

void IoQueue::stage(IoOp& op) noexcept {
    BLKTAP_ASSERT(op.state == IoOp::State::idle && op.completed != nullptr);
    op.transferred_bytes = 0;
    op.remaining_bytes = 0;
    op.refusals = 0;
    for (const iovec& part : op.data)
        op.remaining_bytes += part.iov_len;
    op.state = IoOp::State::staged;
    staged_.push_back(op);
    staged_allocates_ = staged_allocates_ || op.allocates;
}

void IoQueue::submit_staged() noexcept {
    if (can_submit()) submit_batch();
    if (staged_.empty()) staged_allocates_ = false;
    stats_.waiting_max = std::max<std::uint64_t>(stats_.waiting_max, staged_.size());
}

void IoQueue::submit_batch() noexcept {
    const std::size_t count = std::min<std::size_t>(staged_.size(), slots_ - in_kernel_);
    auto op = staged_.begin();
    bool allocates = false;
    for (std::size_t index = 0; index < count; ++index, ++op) {
        prepare(*op, completion_event_.get());
        batch_[index] = &op->control_block;
        allocates = allocates || op->allocates;
    }
    ++stats_.submits;
    if (allocates) ++stats_.allocating_submits;
    const int taken = kernel_.submit(context_, static_cast<long>(count), batch_.data());
    if (taken > 0) {
        for (int index = 0; index < taken; ++index) {
            staged_.front().state = IoOp::State::in_kernel;
            staged_.pop_front();
        }
        in_kernel_ += static_cast<unsigned>(taken);
        stats_.submitted += static_cast<unsigned>(taken);
        return;
    }
    ++stats_.refused_submits;
    if (taken == -EAGAIN || taken == 0) {
        blocked_ = true;
    } else if (taken != -EINTR) {
        fail_first_staged(-taken);
    }
}

void IoQueue::fail_first_staged(int error) noexcept {
    IoOp& op = staged_.front();
    staged_.pop_front();
    end_refusals(op);
    finish(op, {error, std::system_category()});
}

std::size_t IoQueue::reap(std::size_t count_max) noexcept {
    if (ring_ != nullptr) {
        take_from_mapped_ring();
    } else {
        take_by_call();
    }
    return complete_finished(count_max);
}

/// Completes only operations that are finished now: one that fails inside a `completed` waits for the next reap(), so
/// that this one ends.
std::size_t IoQueue::complete_finished(std::size_t count_max) noexcept {
    std::size_t count = 0;
    // A `completed` may call reap() itself: the list can be shorter than it was.
    for (std::size_t left = std::min(finished_.size(), count_max); left > 0 && !finished_.empty(); --left) {
        IoOp& op = finished_.front();
        finished_.pop_front();
        op.state = IoOp::State::idle;
        ++stats_.reaped;
        ++count;
        op.completed(op);  // `op` may be gone, or staged again
    }
    return count;
}

void IoQueue::take_from_mapped_ring() noexcept {
    std::uint32_t head = ring_->head;
    const std::uint32_t tail = ring_->load_tail();
    if (head == tail) return;
    BLKTAP_ASSERT(head < ring_->count && tail < ring_->count);
    while (head != tail) {
        take(ring_->event(head));
        if (++head == ring_->count) head = 0;
    }
    ring_->store_head(head);
}

void IoQueue::take_by_call() noexcept {
    if (in_kernel_ == 0) return;
    // Read the eventfd before the ring: a later completion makes it readable again.
    eventfd_t ignored = 0;
    ::eventfd_read(completion_event_.get(), &ignored);
    std::array<io_event, default_slots> events;
    int count = 0;
    do {
        timespec at_once{};
        count = kernel_.get_events(context_, 0, static_cast<long>(events.size()), events.data(), &at_once);
        for (int index = 0; index < count; ++index)
            take(events[static_cast<std::size_t>(index)]);
    } while (count == static_cast<int>(events.size()));
}

void IoQueue::take(const io_event& event) noexcept {
    IoOp& op = *static_cast<IoOp*>(event.data);
    BLKTAP_ASSERT(op.state == IoOp::State::in_kernel);
    --in_kernel_;
    blocked_ = false;
    const auto result = static_cast<long>(event.res);
    if (is_transient(op, result)) return try_again(op);
    if (op.refusals != 0) end_refusals(op);
    if (result < 0) return finish(op, {static_cast<int>(-result), std::system_category()});
    BLKTAP_ASSERT(static_cast<std::uint64_t>(result) <= op.remaining_bytes);
    advance(op, static_cast<std::size_t>(result));
    if (op.remaining_bytes == 0) return finish(op, {});
    if (result > 0) return restage(op);
    // No progress: a read is at the end of the file; a write found no space for its first byte.
    finish(op, op.kind == IoOp::Kind::read ? std::error_code{} : std::error_code{ENOSPC, std::system_category()});
}

void IoQueue::try_again(IoOp& op) noexcept {
    if (op.refusals < refusals_at_once) {
        ++op.refusals;
        return restage(op);
    }
    if (op.refusals == refusals_at_once) ++refused_count_;
    op.refusals = refusals_at_once + 1;
    ++stats_.resubmitted;
    op.state = IoOp::State::staged;
    put_off_.push_back(op);
}

void IoQueue::end_refusals(IoOp& op) noexcept {
    if (op.refusals > refusals_at_once) --refused_count_;
    op.refusals = 0;
}

void IoQueue::retry() noexcept {
    blocked_ = false;
    for (const IoOp& op : put_off_)
        staged_allocates_ = staged_allocates_ || op.allocates;
    staged_.splice(staged_.begin(), put_off_);  // put off operations are older than staged ones
}

/// Stages `op` at the front: the tail of an older operation goes before newer operations.
void IoQueue::restage(IoOp& op) noexcept {
    ++stats_.resubmitted;
    op.state = IoOp::State::staged;
    staged_.push_front(op);
    staged_allocates_ = staged_allocates_ || op.allocates;
}

void IoQueue::finish(IoOp& op, std::error_code error) noexcept {
    op.error = error;
    op.state = IoOp::State::finished;
    finished_.push_back(op);
}

bool IoQueue::completion_pending() const noexcept {
    if (!finished_.empty()) return true;
    if (ring_ != nullptr) return ring_->load_tail() != ring_->head;
    pollfd readable{completion_event_.get(), POLLIN, 0};
    return in_kernel_ > 0 && ::poll(&readable, 1, 0) > 0;
}

}  // namespace blktap
