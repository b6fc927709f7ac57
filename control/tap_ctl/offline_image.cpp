// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tap_ctl/offline_image.hpp"

#include "drivers/registry.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/driver_api/scratch_memory.hpp"

namespace blktap::tap_ctl {
namespace {

struct Asked : ImageRequest {
    bool answered = false;
    std::error_code error{};
};

}  // namespace

OfflineImage::OfflineImage(const ImageSpec& spec)
    : name_(image_name(spec)), completions_(loop_, io_.completion_fd(), EPOLLIN | EPOLLET, [](auto) {}) {
    bool over = false;
    std::optional<std::system_error> failed;
    ImageOpening opening{[&](OpenResult result) {
        over = true;
        if (auto* const error = std::get_if<std::system_error>(&result)) {
            failed.emplace(*error);
        } else {
            driver_ = std::move(std::get<std::unique_ptr<ImageDriver>>(result));
        }
    }};
    all_drivers().open(spec, {loop_, io_, workers_, files_}, opening);
    run_until(over);
    if (failed) throw *failed;
}

OfflineImage::~OfflineImage() {
    bool over = false;
    driver_->close([&over] { over = true; });
    run_until(over);
}

void OfflineImage::run_until(const bool& over) {
    for (;;) {
        io_.submit_staged();
        io_.reap();
        if (over) return;
        if (io_.can_submit()) continue;
        loop_.run_once(io_.needs_retry_timer() ? std::chrono::milliseconds{1} : Nanoseconds{-1});
        if (io_.needs_retry_timer()) io_.retry();
    }
}

/// Starts `request` and runs the loop until it is answered.
std::error_code OfflineImage::run(const std::function<void(ImageRequest&)>& start) {
    Asked asked;
    ScratchMemory scratch{*driver_, 1};
    scratch.add(asked);
    asked.begin([](ImageRequest& request, std::error_code error, Retry) noexcept {
        static_cast<Asked&>(request).answered = true;
        static_cast<Asked&>(request).error = error;
    });
    start(asked);
    run_until(asked.answered);
    return asked.error;
}

void OfflineImage::resize(std::uint64_t size_sectors) {
    if (const auto error = run([&](ImageRequest& request) { driver_->resize(size_sectors, request); })) {
        throw_error(error, name_ + ": cannot be made " + std::to_string(size_sectors * sector_size_bytes) + " bytes");
    }
    const auto flush = [this](ImageRequest& request) {
        request.kind = ImageRequest::Kind::flush;
        driver_->start(request);
    };
    if (const auto error = run(flush)) throw_error(error, name_ + ": cannot flush");
}

}  // namespace blktap::tap_ctl
