// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/disk/disk.hpp"

#include <utility>

#include "libblktap/base/log.hpp"

namespace blktap {
namespace {

// Enough for the blocking requests of one disk (discards, partial blocks) to overlap; threads start when first needed.
constexpr unsigned worker_threads = 4;

}  // namespace

Disk::Disk(EventLoop& loop, AioKernel& kernel, const Registry& drivers, const Options& options)
    : drivers_(drivers),
      options_(options),
      workers_(loop, worker_threads),
      io_(kernel, options.aio_slots),
      // Edge-triggered and empty: it only wakes the loop, whose turn reaps.
      completion_watch_(loop, io_.completion_fd(), EPOLLIN | EPOLLET, [](std::uint32_t) {}),
      scheduler_(io_, loop.clock(), health_),
      // Whoever closes the image needs its file for that alone.
      watch_(loop, workers_, io_, scheduler_, health_, [this] { return final_flush_.done ? nullptr : driver_.get(); }),
      problems_(loop) {
    resize_.disk = this;
}

Disk::~Disk() = default;

std::unique_ptr<ImageDriver> Disk::open_image(const ImageSpec& image, ImageOpener& files) {
    ImageSpec for_driver = image;
    StoragePolicy policy = take_storage_policy(for_driver);
    auto driver = drivers_.open(for_driver, DriverContext{io_, workers_, files, options_.memory_budget_bytes});
    if (!policy.hold_errors) policy.hold_errors = driver->info().waits_for_storage;
    scheduler_.parking().set_policy(policy);
    return driver;
}

void Disk::open(const ImageSpec& image, std::unique_ptr<ImageOpener> files) {
    auto driver = open_image(image, *files);
    use(std::move(driver));
    files_ = std::move(files);
    image_ = image;
    info_ = driver_->info();
    state_ = State::open;
    watch_.image_opened();
    log::info("image.open", {{"image", image_name(image_)},
                             {"sectors", std::to_string(info_.size_sectors)},
                             {"read_only", info_.read_only ? "yes" : "no"}});
}

void Disk::resume(const std::optional<ImageSpec>& image, std::unique_ptr<ImageOpener> files) {
    ImageSpec next = image.value_or(image_);
    ImageOpener& opener = files ? *files : *files_;
    auto driver = open_image(next, opener);
    const std::string name = image_name(next);
    if (driver->info().size_sectors < info_.size_sectors) {
        throw_reason(Errc::image_invalid, name + ": " + std::to_string(driver->info().size_sectors) +
                                              " sectors, but the guest was told " + std::to_string(info_.size_sectors));
    }
    if (driver->info().read_only && !info_.read_only) {
        throw_reason(Errc::image_invalid, name + ": read-only, but the guest may write");
    }
    use(std::move(driver));
    if (files) files_ = std::move(files);
    image_ = std::move(next);
    health_.image_opened();
    state_ = State::open;
    watch_.image_opened();
    log::info("image.resume", {{"image", name}});
}

/// Serves from `driver` from now on. Errors: throws std::bad_alloc; nothing has changed.
void Disk::use(std::unique_ptr<ImageDriver> driver) {
    auto scratch = std::make_unique<ScratchMemory>(*driver, 2);
    scratch->add(final_flush_);
    scratch->add(resize_);
    scheduler_.set_image(*driver);
    scratch_ = std::move(scratch);
    driver_ = std::move(driver);
}

void Disk::retry() noexcept {
    io_.retry();
    scheduler_.retry_parked();
}

void Disk::accept_loss() {
    health_.accept_loss();
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
    if (!driver_ || info_.read_only) {
        final_flush_.result.emplace();
        return;
    }
    final_flush_.kind = ImageRequest::Kind::flush;
    final_flush_.range = {};
    final_flush_.data = {};
    final_flush_.begin([](ImageRequest& request, std::error_code error, Retry retry) noexcept {
        // No more than a note: this runs inside the driver, and inside the scheduler's turn.
        static_cast<FinalFlush&>(request).result = {error, retry};
    });
    driver_->start(final_flush_);
}

bool Disk::look() {
    watch_.look();
    const StorageHealth::Waiting& waiting = health_.waiting();
    problems_.see({waiting.for_space > 0, waiting.for_health > 0, health_.flush_failed(),
                   watch_.low_space() && driver_ != nullptr, watch_.refused_for_long(), health_.image_cut()},
                  image_.path);
    if (!final_flush_.result) return false;
    close_flushed_image();
    return true;
}

void Disk::close_flushed_image() {
    const auto [error, retry] = *std::exchange(final_flush_.result, std::nullopt);
    // A lack of space is no loss, here as elsewhere: the next flush covers what this one did not.
    if (error && retry != Retry::when_space) health_.fail_flush();
    if (error) log::error("image.flush", {{"image", image_.path}, {"reason", error.message()}});
    scheduler_.clear_image();
    scratch_.reset();
    driver_.reset();
    std::exchange(final_flush_.done, nullptr)(error);
}

void Disk::become_closed() noexcept {
    if (state_ != State::closed) log::info("image.close", {{"image", image_name(image_)}});
    state_ = State::closed;
    files_.reset();
    health_.image_closed();
    watch_.image_closed();
}

}  // namespace blktap
