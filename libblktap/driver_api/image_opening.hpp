// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ImageOpening: one image on its way to being open. The opener of the image owns the object and gets the result once;
// the format's OpenImage ends the opening, at once or from a later round of the loop. An opening may be cancelled: then
// it ends with an error, as soon as the driver can.
//
// Tested by tests/unit/drivers/image_opening_test.cpp, tests/unit/tapdisk/disk/async_image_test.cpp.
#pragma once

#include <functional>
#include <memory>
#include <system_error>
#include <variant>

#include "libblktap/driver_api/image_driver.hpp"

namespace blktap {

/// The driver of an open image, or an error whose text names the image and the reason.
using OpenResult = std::variant<std::unique_ptr<ImageDriver>, std::system_error>;

class ImageOpening {
  public:
    /// Called once, on the loop's thread, perhaps before OpenImage returns. Must not throw; may destroy the opening.
    using Done = std::function<void(OpenResult)>;

    explicit ImageOpening(Done done) : done_(std::move(done)) {}
    ImageOpening(const ImageOpening&) = delete;
    ImageOpening& operator=(const ImageOpening&) = delete;
    /// The opening must have ended.
    ~ImageOpening();

    // For the driver: it calls exactly one of the first two, as its last use of this object.

    void succeed(std::unique_ptr<ImageDriver> driver) noexcept;
    void fail(const std::system_error& error) noexcept;
    /// Sets the function that is called, at most once, when the image is no longer wanted; it must end the opening, at
    /// once or soon. Without it, an image that opens all the same is closed.
    void on_cancel(std::function<void()> cancel) { on_cancel_ = std::move(cancel); }

    // For the opener.

    /// Ends the opening with ECANCELED, at once or later.
    void cancel() noexcept;
    bool cancelled() const noexcept { return cancelled_; }

  private:
    void end(OpenResult result) noexcept;

    Done done_;
    std::function<void()> on_cancel_;
    bool cancelled_ = false;
    std::unique_ptr<ImageDriver> unwanted_;  ///< opened after cancel(); being closed
};

/// The error of a cancelled opening.
std::system_error opening_cancelled();

/// Begins to open an image. An option that the driver does not know is an error (std::errc::invalid_argument;
/// Errc::image_invalid is for contents). The driver decides whether it needs a path. `spec` and `context` are valid
/// only during the call; the objects that `context` refers to outlive the driver. Errors: through opening.fail(), or
/// thrown as std::system_error before the opening has ended.
using OpenImage = void (*)(const ImageSpec& spec, const DriverContext& context, ImageOpening& opening);

/// Makes an OpenImage of a function that returns the driver, or throws.
using OpenImageAtOnce = std::unique_ptr<ImageDriver> (*)(const ImageSpec& spec, const DriverContext& context);
template <OpenImageAtOnce open>
void open_at_once(const ImageSpec& spec, const DriverContext& context, ImageOpening& opening) {
    opening.succeed(open(spec, context));
}

}  // namespace blktap
