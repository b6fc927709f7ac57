// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/driver_api/scratch_memory.hpp"

#include "libblktap/driver_api/image_driver.hpp"

namespace blktap {
namespace {

std::byte* allocate(std::size_t bytes, std::align_val_t alignment) {
    return static_cast<std::byte*>(::operator new[](bytes, alignment));
}

std::align_val_t alignment_of(const ImageDriver& driver) noexcept {
    return std::align_val_t{std::max(driver.scratch_size().alignment, alignof(std::max_align_t))};
}

}  // namespace

void ImageRequest::attach(ImageDriver& driver, std::byte* memory) noexcept {
    BLKTAP_ASSERT(!under_way() && scratch_ == nullptr);
    scratch_ = memory;
    driver.make_scratch(*this);
}

void ImageRequest::detach(ImageDriver& driver) noexcept {
    BLKTAP_ASSERT(!under_way() && scratch_ != nullptr);
    driver.end_scratch(*this);
    scratch_ = nullptr;
}

ScratchMemory::ScratchMemory(ImageDriver& driver, std::size_t requests_max)
    : driver_(driver),
      stride_(driver.scratch_size().stride()),
      // Never nothing: a request that is attached has a place.
      memory_(allocate(std::max<std::size_t>(stride_ * requests_max, 1), alignment_of(driver)),
              Free{alignment_of(driver)}) {
    requests_.reserve(requests_max);
}

ScratchMemory::~ScratchMemory() {
    for (ImageRequest* const request : requests_)
        request->detach(driver_);
}

void ScratchMemory::add(ImageRequest& request) noexcept {
    BLKTAP_ASSERT(requests_.size() < requests_.capacity());
    request.attach(driver_, memory_.get() + stride_ * requests_.size());
    requests_.push_back(&request);
}

}  // namespace blktap
