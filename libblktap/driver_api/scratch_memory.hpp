// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ScratchMemory: the scratch of a number of requests, for as long as they are sent to one driver. Made when an image
// has just been opened: only then is the size known, and another format may need more.
//
// Tested by tests/unit/drivers/image_request_test.cpp.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "libblktap/driver_api/image_request.hpp"

namespace blktap {

class ScratchMemory {
  public:
    /// Memory for `requests_max` requests to `driver`, which outlives this. Errors: throws std::bad_alloc.
    ScratchMemory(ImageDriver& driver, std::size_t requests_max);
    ScratchMemory(const ScratchMemory&) = delete;
    ScratchMemory& operator=(const ScratchMemory&) = delete;
    /// None of its requests may be under way. They can be attached to another driver afterwards.
    ~ScratchMemory();

    /// Gives `request`, which outlives this, its scratch. At most requests_max times.
    void add(ImageRequest& request) noexcept;

  private:
    struct Free {
        std::align_val_t alignment;
        void operator()(std::byte* memory) const noexcept { ::operator delete[](memory, alignment); }
    };

    ImageDriver& driver_;
    const std::size_t stride_;
    std::unique_ptr<std::byte[], Free> memory_;
    std::vector<ImageRequest*> requests_;
};

}  // namespace blktap
