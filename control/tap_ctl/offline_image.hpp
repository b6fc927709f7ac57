// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// OfflineImage: an image that nobody serves, opened by its driver in this process and so by the driver's own rules:
// what it refuses, what it locks, what it repairs. Files are opened with this process's rights, which are root's as a
// rule: for writing only those that the operator names, for what an image names a guest may have written.
//
// Tested by tests/unit/control/image_change_test.cpp.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "drivers/shared/local_image_opener.hpp"
#include "libblktap/base/clock.hpp"
#include "libblktap/base/event_loop.hpp"
#include "libblktap/driver_api/image_driver.hpp"

namespace blktap {

class OfflineImage {
  public:
    /// Opens and locks it until this dies. Errors: throws std::system_error as Registry::open(); EBUSY: in use; EPERM:
    /// its data would be written, in a file that its option data-file does not name.
    explicit OfflineImage(const ImageSpec& spec);

    const ImageInfo& info() const noexcept { return driver_->info(); }
    /// Makes the disk `size_sectors` long, durable. Errors: throws std::system_error as ImageDriver::resize(). Blocks.
    void resize(std::uint64_t size_sectors);

  private:
    /// Opens for writing the image and what its option says, and for reading everything.
    class NamedFiles final : public ImageOpener {
      public:
        explicit NamedFiles(const ImageSpec& spec);
        UniqueFd open(const std::string& path, Access access, Caching caching) override;

      private:
        const std::string image_;
        const std::string data_file_;
        LocalImageOpener files_;
    };

    std::error_code run(const std::function<void(ImageRequest&)>& start);

    const std::string name_;
    MonotonicClock clock_;
    EventLoop loop_{clock_};
    LinuxAioKernel kernel_;
    NamedFiles files_;
    IoQueue io_{kernel_};
    WorkerPool workers_{loop_, 1};
    EventLoop::Watch completions_;
    std::unique_ptr<ImageDriver> driver_;
};

}  // namespace blktap
