// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ImageRequest: one request to an image driver, embedded in an object of its sender, and its scratch: memory in which
// the driver keeps its state of that request. A driver announces the size of its scratch (ScratchSize); the sender
// gives each request that much before the first is sent, so that neither allocates on the way. The scratch of a driver
// that passes requests on holds the child's request, and the child's scratch behind it.
//
// Tested by tests/unit/drivers/image_request_test.cpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <sys/uio.h>
#include <system_error>
#include <utility>

#include "libblktap/base/assert.hpp"
#include "libblktap/base/units.hpp"

namespace blktap {

class ImageDriver;

/// Whether and when the same request, sent again, may succeed after an error. The driver knows what its errors mean.
enum class Retry : std::uint8_t {
    never,         ///< the error is final for the request
    when_space,    ///< once the storage has space again
    when_healthy,  ///< once the storage, or the way to it, is mended
};

/// Size of the driver's memory in one request.
struct ScratchSize {
    std::size_t bytes = 0;
    std::size_t alignment = 1;  ///< a power of two

    template <class T>
    static constexpr ScratchSize of() noexcept {
        return {sizeof(T), alignof(T)};
    }
    /// The offset of a `next` that is placed behind this.
    constexpr std::size_t offset_of(const ScratchSize& next) const noexcept { return round_up(bytes, next.alignment); }
    constexpr ScratchSize followed_by(const ScratchSize& next) const noexcept {
        return {offset_of(next) + next.bytes, std::max(alignment, next.alignment)};
    }
    /// The distance of two elements in an array.
    constexpr std::size_t stride() const noexcept { return round_up(bytes, alignment); }
};

struct ImageRequest {
    enum class Kind : std::uint8_t { read, write, flush, discard, write_zeroes };
    /// Gets the answer. It may send the request again, or destroy it.
    using Completed = void (*)(ImageRequest&, std::error_code, Retry) noexcept;

    Kind kind = Kind::read;
    /// For drivers with ImageInfo::fua: the write is durable when it is complete. Others ignore it: a flush follows.
    bool fua = false;
    /// For write_zeroes: the driver may free the storage of the range.
    bool may_unmap = false;
    SectorRange range{};  ///< empty for flush
    /// Memory to read into or write from; together as long as `range`; empty for all other kinds. Valid until
    /// complete(). The driver may change entries.
    std::span<iovec> data{};

    ImageRequest() = default;
    ImageRequest(const ImageRequest&) = delete;
    ImageRequest& operator=(const ImageRequest&) = delete;
    /// The request must not be under way.
    ~ImageRequest() { BLKTAP_ASSERT(!under_way()); }

    // For the driver.

    /// Answers the request. Exactly once, on the loop's thread; may be called from inside ImageDriver::start().
    /// Afterwards the driver must touch neither the request nor its scratch.
    void complete(std::error_code error = {}, Retry retry = Retry::never) noexcept {
        const Completed completed = std::exchange(completed_, nullptr);
        BLKTAP_ASSERT(completed != nullptr);  // a second answer
        completed(*this, error, retry);
    }
    /// The object that make_scratch() made.
    template <class T>
    T& scratch() const noexcept {
        return *std::launder(reinterpret_cast<T*>(scratch_));
    }
    /// For ImageDriver::make_scratch() and end_scratch(): the object that scratch() returns.
    template <class T, class... Arguments>
    T& make_scratch(Arguments&&... arguments) noexcept {
        return *::new (static_cast<void*>(scratch_)) T(std::forward<Arguments>(arguments)...);
    }
    template <class T>
    void end_scratch() noexcept {
        std::destroy_at(&scratch<T>());
    }

    // For the sender.

    /// Gives the request `memory`, of driver.scratch_size(), for use with that driver only, until detach(). Call both
    /// while the request is not under way.
    void attach(ImageDriver& driver, std::byte* memory) noexcept;
    void detach(ImageDriver& driver) noexcept;
    /// Marks the request as under way: the caller calls ImageDriver::start() or resize() next, and the driver's answer
    /// goes to `completed`, once.
    void begin(Completed completed) noexcept {
        BLKTAP_ASSERT(completed_ == nullptr);
        completed_ = completed;
    }
    bool under_way() const noexcept { return completed_ != nullptr; }

  private:
    std::byte* scratch_ = nullptr;
    Completed completed_ = nullptr;
};

}  // namespace blktap
