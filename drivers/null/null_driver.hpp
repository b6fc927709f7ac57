// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// NullDriver: a disk of zeros that discards all writes, for measuring everything but the disk; and the smallest
// complete driver, as a start for a new one.
//
// User's view: docs/man/tapdisk-null.7.scd. Tested by tests/unit/drivers/null_driver_test.cpp.
#pragma once

#include "libblktap/driver_api/image_driver.hpp"

namespace blktap {

class NullDriver final : public ImageDriver {
  public:
    explicit NullDriver(const ImageInfo& info) : info_(info) {}
    const ImageInfo& info() const noexcept override { return info_; }
    /// Completes before it returns.
    void start(ImageRequest& request) noexcept override;

  private:
    const ImageInfo info_;
};

/// Opens "null:"; option size=BYTES[K|M|G|T], 1G when absent. An OpenImageAtOnce.
std::unique_ptr<ImageDriver> open_null_image(const ImageSpec& spec, const DriverContext& context);

}  // namespace blktap
