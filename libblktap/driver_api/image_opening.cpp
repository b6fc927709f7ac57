// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/driver_api/image_opening.hpp"

#include <utility>

#include "libblktap/base/assert.hpp"

namespace blktap {

ImageOpening::~ImageOpening() {
    BLKTAP_ASSERT(!done_ && !unwanted_);
}

void ImageOpening::end(OpenResult result) noexcept {
    BLKTAP_ASSERT(done_);  // ended before
    std::exchange(done_, nullptr)(std::move(result));
}

void ImageOpening::succeed(std::unique_ptr<ImageDriver> driver) noexcept {
    if (!cancelled_) return end(std::move(driver));
    unwanted_ = std::move(driver);
    unwanted_->close([this] {
        unwanted_.reset();
        end(opening_cancelled());
    });
}

void ImageOpening::fail(const std::system_error& error) noexcept {
    end(error);
}

void ImageOpening::cancel() noexcept {
    if (std::exchange(cancelled_, true) || !on_cancel_) return;
    // It may destroy this.
    const auto cancel = std::move(on_cancel_);
    cancel();
}

std::system_error opening_cancelled() {
    return {std::make_error_code(std::errc::operation_canceled), "the image was closed while it was being opened"};
}

}  // namespace blktap
