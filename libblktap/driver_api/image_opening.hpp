// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// ImageOpening: one image on its way to being open. Whoever opens it owns this and is told once how that ended; the
// format's OpenImage ends it, at once or from a later round of the loop. It may be cancelled on the way: then it ends
// with an error, as soon as the driver can.
//
// Tested by tests/unit/drivers/image_opening_test.cpp, tests/unit/tapdisk/async_image_test.cpp.
#pragma once

#include <functional>
#include <memory>
#include <system_error>
#include <variant>

#include "libblktap/driver_api/image_driver.hpp"

namespace blktap {

/// An open image, or why it is not: a text that names the image and the reason.
using OpenResult = std::variant<std::unique_ptr<ImageDriver>, std::system_error>;

class ImageOpening {
  public:
    /// Called once, on the loop's thread, perhaps before OpenImage returns. Must not throw; may destroy the opening.
    using Done = std::function<void(OpenResult)>;

    explicit ImageOpening(Done done) : done_(std::move(done)) {}
    ImageOpening(const ImageOpening&) = delete;
    ImageOpening& operator=(const ImageOpening&) = delete;
    /// It has ended.
    ~ImageOpening();

    // The driver's: exactly one of the first two, as the last thing that it does with this.

    void succeed(std::unique_ptr<ImageDriver> driver) noexcept;
    void fail(const std::system_error& error) noexcept;
    /// `cancel` will be called when nobody wants the image any more, at most once, and ends the opening, at once or
    /// soon. Without it, one that succeeds all the same is closed.
    void on_cancel(std::function<void()> cancel) { on_cancel_ = std::move(cancel); }

    // The opener's.

    /// Ends it with ECANCELED, at once or later.
    void cancel() noexcept;
    bool cancelled() const noexcept { return cancelled_; }

  private:
    void end(OpenResult result) noexcept;

    Done done_;
    std::function<void()> on_cancel_;
    bool cancelled_ = false;
    std::unique_ptr<ImageDriver> unwanted_;  ///< being closed
};

/// Why an opening that was cancelled has failed.
std::system_error opening_cancelled();

/// Begins to open an image. An option that the driver does not know is an error (std::errc::invalid_argument;
/// Errc::image_invalid is for contents). Whether a path is needed is for the driver to say. `spec` and `context` are
/// for the time of the call; what `context` refers to outlives the driver. Errors: through opening.fail(), or
/// std::system_error thrown while that has not ended.
using OpenImage = void (*)(const ImageSpec& spec, const DriverContext& context, ImageOpening& opening);

/// An OpenImage of a function that returns the driver, or throws.
using OpenImageAtOnce = std::unique_ptr<ImageDriver> (*)(const ImageSpec& spec, const DriverContext& context);
template <OpenImageAtOnce open>
void open_at_once(const ImageSpec& spec, const DriverContext& context, ImageOpening& opening) {
    opening.succeed(open(spec, context));
}

}  // namespace blktap
