// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// OfflineImage: an image that is not served, opened in this process by its driver, which refuses, locks and repairs as
// it does in a tapdisk.
//
// Tested by tests/unit/control/image_change_test.cpp.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "libblktap/base/clock.hpp"
#include "libblktap/base/event_loop.hpp"
#include "libblktap/driver_api/image_driver.hpp"
#include "libblktap/files/local_image_opener.hpp"

namespace blktap::tap_ctl {

class OfflineImage {
  public:
    /// Opens the image and locks it until destruction. Errors: throws std::system_error as Registry::open(); EBUSY: in
    /// use; EPERM: its data would be written to a file that the option data-file does not name.
    explicit OfflineImage(const ImageSpec& spec);

    OfflineImage(const OfflineImage&) = delete;
    OfflineImage& operator=(const OfflineImage&) = delete;
    /// Closes the image. Blocks.
    ~OfflineImage();

    const ImageInfo& info() const noexcept { return driver_->info(); }
    /// Resizes the disk to `size_sectors`, durably. Errors: throws std::system_error as ImageDriver::resize(). Blocks.
    void resize(std::uint64_t size_sectors);

  private:
    void run_until(const bool& over);
    std::error_code run(const std::function<void(ImageRequest&)>& start);

    const std::string name_;
    MonotonicClock clock_;
    EventLoop loop_{clock_};
    LinuxAioKernel kernel_;
    LocalImageOpener files_;
    IoQueue io_{kernel_};
    WorkerPool workers_{loop_, 1};
    EventLoop::Watch completions_;
    std::unique_ptr<ImageDriver> driver_;
};

}  // namespace blktap::tap_ctl
