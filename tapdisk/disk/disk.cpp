// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/disk/disk.hpp"

#include <utility>

#include "libblktap/base/assert.hpp"
#include "libblktap/base/error.hpp"
#include "libblktap/base/log.hpp"

namespace blktap {
namespace {

// Enough for the blocking requests of one disk (discards, partial blocks) to overlap; threads start when first needed.
constexpr unsigned worker_threads = 4;

}  // namespace

/// An image on its way to being open, and members that become the disk's when it is open.
struct Disk::Opening {
    ImageSpec image;
    std::unique_ptr<ImageOpener> files;  ///< null: the same as before
    StoragePolicy policy;
    Opened opened;
    ImageOpening step;
    std::unique_ptr<ImageDriver> refused;  ///< opened, unfit, and being closed
};

Disk::Disk(EventLoop& loop, AioKernel& kernel, const Registry& drivers, const Options& options)
    : loop_(loop),
      drivers_(drivers),
      options_(options),
      workers_(loop, worker_threads),
      io_(kernel, options.aio_slots),
      // Edge-triggered and empty: it only wakes the loop, whose turn reaps.
      completion_watch_(loop, io_.completion_fd(), EPOLLIN | EPOLLET, [](std::uint32_t) {}),
      scheduler_(io_, loop.clock(), health_),
      // No driver while the image is being closed: only the close may use the file.
      watch_(loop, workers_, io_, scheduler_, health_, [this] { return final_flush_.done ? nullptr : driver_.get(); }),
      problems_(loop) {
    resize_.disk = this;
}

Disk::~Disk() = default;

void Disk::open(const ImageSpec& image, std::unique_ptr<ImageOpener> files, Opened opened) {
    begin_opening(image, std::move(files), std::move(opened));
}

void Disk::resume(const std::optional<ImageSpec>& image, std::unique_ptr<ImageOpener> files, Opened opened) {
    begin_opening(image.value_or(image_), std::move(files), std::move(opened));
}

void Disk::recover(const ImageSpec& image, std::unique_ptr<ImageOpener> files, const ImageInfo& told) {
    BLKTAP_ASSERT(state_ == State::closed && !opening_);
    image_ = image;
    files_ = std::move(files);
    info_ = told;
    state_ = State::paused;
    recovering_ = true;
    log::info("image.recover", {{"image", image_name(image_)}});
}

void Disk::begin_opening(const ImageSpec& image, std::unique_ptr<ImageOpener> files, Opened opened) {
    ImageSpec for_driver = image;
    StoragePolicy policy;
    try {
        policy = take_storage_policy(for_driver);
    } catch (const std::system_error& error) {
        return opened(&error);
    }
    opening_.reset(new Opening{image,
                               std::move(files),
                               policy,
                               std::move(opened),
                               ImageOpening{[this](OpenResult result) { opening_over(std::move(result)); }},
                               {}});
    ImageOpener& opener = opening_->files ? *opening_->files : *files_;
    drivers_.open(for_driver, {loop_, io_, workers_, opener, options_.memory_budget_bytes}, opening_->step);
}

void Disk::opening_over(OpenResult result) noexcept {
    if (const auto* const error = std::get_if<std::system_error>(&result)) return end_opening(error);
    auto driver = std::move(std::get<std::unique_ptr<ImageDriver>>(result));
    std::optional<std::system_error> unfit;
    try {
        if (state_ == State::paused) check_resumed(driver->info());
        use(driver);
    } catch (const std::system_error& error) {
        unfit.emplace(error);
    } catch (const std::exception& error) {
        unfit.emplace(std::make_error_code(std::errc::not_enough_memory), error.what());
    }
    if (!unfit) return end_opening(nullptr);
    opening_->refused = std::move(driver);
    opening_->refused->close([this, error = std::move(*unfit)] {
        opening_->refused.reset();
        end_opening(&error);
    });
}

/// Checks that a guest that knows the former image can continue with this one. Errors: throws std::system_error.
void Disk::check_resumed(const ImageInfo& info) const {
    const std::string name = image_name(opening_->image);
    if (info.size_sectors < info_.size_sectors) {
        throw_reason(Errc::image_invalid, name + ": " + std::to_string(info.size_sectors) +
                                              " sectors, but the guest was told " + std::to_string(info_.size_sectors));
    }
    if (info.read_only && !info_.read_only) {
        throw_reason(Errc::image_invalid, name + ": read-only, but the guest may write");
    }
}

/// Serves from `driver` from now on, and takes ownership. Errors: throws std::bad_alloc; nothing has changed.
void Disk::use(std::unique_ptr<ImageDriver>& driver) {
    const ImageInfo& info = driver->info();
    StoragePolicy policy = opening_->policy;
    if (!policy.hold_errors) policy.hold_errors = info.waits_for_storage;
    auto scratch = std::make_unique<ScratchMemory>(*driver, 2);
    scratch->add(final_flush_);
    scratch->add(resize_);
    scheduler_.set_image(*driver);
    scheduler_.parking().set_policy(policy);
    scratch_ = std::move(scratch);
    driver_ = std::move(driver);

    const bool resumed = state_ == State::paused;
    if (opening_->files) files_ = std::move(opening_->files);
    image_ = opening_->image;
    // What a tapdisk that died knew of the storage stays true until the operator resumes it.
    const bool recovered = std::exchange(recovering_, false);
    if (resumed && !recovered) {
        health_.image_opened();
    } else {
        info_ = info;
    }
    state_ = State::open;
    watch_.image_opened();
    if (resumed) {
        log::info("image.resume", {{"image", image_name(image_)}});
    } else {
        log::info("image.open", {{"image", image_name(image_)},
                                 {"sectors", std::to_string(info_.size_sectors)},
                                 {"read_only", info_.read_only ? "yes" : "no"}});
    }
}

void Disk::end_opening(const std::system_error* error) noexcept {
    const auto ended = std::move(opening_);
    // A close has waited for the end of the opening.
    if (error != nullptr && final_flush_.done) final_flush_.result = FinalFlush::Result{};
    ended->opened(error);
}

void Disk::cancel_opening() noexcept {
    if (opening_) opening_->step.cancel();
}

void Disk::retry() noexcept {
    health_.resumed();
    io_.retry();
    scheduler_.retry_parked();
}

void Disk::accept_loss() {
    health_.accept_loss(scheduler_.taken());
    scheduler_.release_held();
    log::warning("flush.loss_accepted", {});
}

void Disk::resize(std::uint64_t size_bytes, Done done) {
    if (resize_.done) throw_error(Errc::wrong_state, "a resize is under way");
    const std::uint64_t now_bytes = info_.size_sectors * sector_size_bytes;
    const auto refuse = [this](const std::string& reason) {
        throw_reason(std::make_error_code(std::errc::invalid_argument), image_name(image_) + ": " + reason);
    };
    if (info_.read_only) refuse("it is read-only");
    if (size_bytes < now_bytes) {
        refuse("it has " + std::to_string(now_bytes) +
               " bytes; making it smaller would cut off what the guest has there");
    }
    if (!is_aligned(size_bytes, info_.write_alignment_bytes)) {
        refuse(std::to_string(size_bytes) + " bytes are not a multiple of " +
               std::to_string(info_.write_alignment_bytes));
    }
    resize_.size_sectors = size_bytes / sector_size_bytes;
    resize_.done = std::move(done);
    resize_.begin([](ImageRequest& request, std::error_code error, Retry) noexcept {
        static_cast<Resize&>(request).disk->resized(error);
    });
    driver_->resize(resize_.size_sectors, resize_);
}

void Disk::resized(std::error_code error) {
    const std::string name = image_name(image_);
    if (error) {
        log::warning("image.resize", {{"image", name}, {"reason", error.message()}});
    } else {
        info_.size_sectors = resize_.size_sectors;
        log::info("image.resize", {{"image", name}, {"sectors", std::to_string(info_.size_sectors)}});
    }
    std::exchange(resize_.done, nullptr)(error);
}

void Disk::flush_and_close(Done done) {
    scheduler_.pause();
    final_flush_.done = std::move(done);
    final_flush_.result.reset();
    if (opening_) return cancel_opening();
    if (!driver_ || info_.read_only) {
        final_flush_.result = FinalFlush::Result{};
        return;
    }
    final_flush_.kind = ImageRequest::Kind::flush;
    final_flush_.range = {};
    final_flush_.data = {};
    final_flush_.begin([](ImageRequest& request, std::error_code error, Retry retry) noexcept {
        // Only records the result: this runs inside the driver, and inside the scheduler's turn.
        static_cast<FinalFlush&>(request).result = {error, retry};
    });
    driver_->start(final_flush_);
}

bool Disk::look() {
    watch_.look();
    const StorageHealth::Waiting& waiting = health_.waiting();
    problems_.see({waiting.for_space > 0, waiting.for_health > 0, health_.flush_failed() || health_.writes_refused(),
                   watch_.low_space() && driver_ != nullptr, watch_.refused_for_long(), health_.image_cut()},
                  image_.path);
    if (final_flush_.result) close_flushed_image();
    if (!std::exchange(final_flush_.closed, false)) return false;
    driver_.reset();
    std::exchange(final_flush_.done, nullptr)(final_flush_.error);
    return true;
}

void Disk::close_flushed_image() {
    const auto [error, retry] = *std::exchange(final_flush_.result, std::nullopt);
    // A lack of space loses no data, here as elsewhere: the next flush covers the same writes.
    if (error && retry != Retry::when_space) health_.fail_flush();
    if (error) log::error("image.flush", {{"image", image_.path}, {"reason", error.message()}});
    final_flush_.error = error;
    scheduler_.clear_image();
    scratch_.reset();
    if (!driver_) {
        final_flush_.closed = true;
        return;
    }
    // Only records the close: this may run inside the driver.
    driver_->close([this] { final_flush_.closed = true; });
}

void Disk::become_closed() noexcept {
    if (state_ != State::closed) log::info("image.close", {{"image", image_name(image_)}});
    state_ = State::closed;
    recovering_ = false;
    files_.reset();
    health_.image_closed();
    watch_.image_closed();
}

}  // namespace blktap
