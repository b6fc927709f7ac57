// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/vbd.hpp"

#include <algorithm>

#include "libblktap/base/assert.hpp"
#include "libblktap/base/log.hpp"
#include "libblktap/base/storage_full.hpp"
#include "tapdisk/retry_delays.hpp"

namespace blktap {
namespace {

// Enough for the blocking requests of one disk (discards, partial blocks) to overlap; threads start when first needed.
constexpr unsigned worker_threads = 4;

}  // namespace

Vbd::Vbd(EventLoop& loop, AioKernel& kernel, const Registry& drivers, const Options& options)
    : loop_(loop),
      drivers_(drivers),
      options_(options),
      workers_(loop, worker_threads),
      space_(workers_, [this](const SpaceWatch::Space& space) { told_space(space); }),
      io_(kernel, options.aio_slots),
      // Edge-triggered and empty: it only wakes the loop, whose turn reaps.
      completion_watch_(loop, io_.completion_fd(), EPOLLIN | EPOLLET, [](std::uint32_t) {}),
      idle_timer_(loop,
                  [this] {
                      if (connection_) trim_when_idle(connection_->engine());
                  }),
      kernel_timer_(loop, [this] { retry_refused(); }),
      retry_timer_(loop, [this] { try_again(); }),
      drain_timer_(loop, [this] { look_at_drain(); }),
      space_timer_(loop, [this] { watch_space(); }),
      retry_delay_(retry_delay_min),
      kernel_delay_(kernel_delay_min),
      problems_(problem_quiet),
      problem_timer_(loop, [this] { tell_problems(); }) {
    final_flush_.vbd = this;
    resize_.vbd = this;
}

Vbd::~Vbd() = default;

void Vbd::require(bool condition, const char* reason) const {
    if (!condition) throw_error(Errc::wrong_state, reason);
    if (ending_ != Ending::none) throw_error(Errc::wrong_state, "another operation is under way");
}

std::unique_ptr<ImageDriver> Vbd::open_image(const ImageSpec& image, ImageOpener& files) {
    ImageSpec for_driver = image;
    const StoragePolicy policy = take_storage_policy(for_driver);
    auto driver = drivers_.open(for_driver, DriverContext{io_, workers_, files, options_.memory_budget_bytes});
    policy_ = policy;
    return driver;
}

void Vbd::open(const ImageSpec& image, std::unique_ptr<ImageOpener> files) {
    require(state_ == State::closed, "an image is open already");
    driver_ = open_image(image, *files);
    files_ = std::move(files);
    image_ = image;
    info_ = driver_->info();
    state_ = State::open;
    low_space_ = false;
    look_at_space();
    log::info("image.open", {{"image", image.format + ":" + image.path},
                             {"sectors", std::to_string(info_.size_sectors)},
                             {"read_only", info_.read_only ? "yes" : "no"}});
}

void Vbd::connect(const ipc::ConnectArguments& frontend, UniqueFd log_file) {
    require(state_ == State::open, state_ == State::paused ? "the image is paused" : "no image is open");
    require(!connection_, "a frontend is connected already");
    Connection::Options options;
    options.frontend = frontend;
    options.rules = {info_.size_sectors, info_.read_only, info_.discard && frontend.discard_enabled,
                     ring::segments_indirect_max};
    options.log_file = log_file ? std::move(log_file) : options_.make_log_file();
    options.poll_max = options_.poll_max;
    connection_ = std::make_unique<Connection>(loop_, io_, std::move(options));
    if (flush_failed_) connection_->engine().set_flush_failed();
    connection_->engine().set_recorder(recorder_.get());
    connection_->engine().set_policy(policy_);
    connection_->engine().set_image(*driver_);
    if (writes_refused_) connection_->engine().refuse_writes();
    if (image_cut_) connection_->engine().set_image_cut();
    reported_stopped_queues_ = 0;
    requests_at_idle_check_ = 0;
    requests_at_space_check_ = 0;
    log::info("ring.connect", {{"domain", std::to_string(frontend.domain)},
                               {"queues", std::to_string(frontend.queues.size())},
                               {"ring_pages", std::to_string(frontend.queues.front().ring_refs.size())},
                               {"protocol", frontend.protocol},
                               {"persistent", frontend.persistent ? "yes" : "no"}});
}

void Vbd::disconnect(ipc::RingsLeft rings, Done done) {
    require(connection_ != nullptr, "no frontend is connected");
    give_up_waiting();
    if (rings == ipc::RingsLeft::untouched) {
        connection_->engine().close();
    } else {
        connection_->engine().drain(rings == ipc::RingsLeft::failed);
        drain_ends_ = loop_.clock().now() + drain_max;
        quiet_since_ = loop_.clock().now();
        drained_ = connection_->engine().taken();
        look_at_drain();
    }
    begin(Ending::disconnect, std::move(done));
}

void Vbd::hang_up() {
    if (!connection_) return;
    if (ending_ == Ending::none) return disconnect(ipc::RingsLeft::untouched, [](std::error_code) {});
    hang_up_next_ = true;
}

void Vbd::pause(Done done) {
    require(state_ == State::open, state_ == State::paused ? "the image is paused already" : "no image is open");
    if (connection_) connection_->engine().pause();
    begin(Ending::pause, std::move(done));
}

void Vbd::resume(const std::optional<ImageSpec>& image, std::unique_ptr<ImageOpener> files) {
    require(state_ == State::paused, "the image is not paused");
    ImageSpec next = image.value_or(image_);
    ImageOpener& opener = files ? *files : *files_;
    auto driver = open_image(next, opener);
    const std::string name = next.format + ":" + next.path;
    if (driver->info().size_sectors < info_.size_sectors) {
        throw_reason(Errc::image_invalid, name + ": " + std::to_string(driver->info().size_sectors) +
                                              " sectors, but the guest was told " + std::to_string(info_.size_sectors));
    }
    if (driver->info().read_only && !info_.read_only) {
        throw_reason(Errc::image_invalid, name + ": read-only, but the guest may write");
    }
    driver_ = std::move(driver);
    if (files) files_ = std::move(files);
    image_ = std::move(next);
    writes_refused_ = false;
    image_cut_ = false;
    state_ = State::open;
    if (connection_) {
        connection_->engine().set_policy(policy_);
        connection_->engine().set_image(*driver_);
    }
    look_at_space();
    log::info("image.resume", {{"image", name}});
}

void Vbd::retry() {
    require(state_ == State::open, "no image is open");
    io_.retry();
    if (connection_) connection_->engine().retry_parked();
}

void Vbd::accept_loss() {
    require(state_ != State::closed, "no image is open");
    flush_failed_ = false;
    if (connection_) connection_->engine().accept_loss();
    log::warning("flush.loss_accepted", {});
}

void Vbd::resize(std::uint64_t size_bytes, Done done) {
    require(state_ == State::open, state_ == State::paused ? "the image is paused" : "no image is open");
    if (resize_.done) throw_error(Errc::wrong_state, "a resize is under way");
    const std::uint64_t now_bytes = info_.size_sectors * sector_size_bytes;
    const std::string name = image_.format + ":" + image_.path + ": ";
    const auto refuse = [&name](const std::string& reason) {
        throw_reason(std::make_error_code(std::errc::invalid_argument), name + reason);
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
    resize_.on_complete = [](ImageRequest& request, std::error_code error) noexcept {
        static_cast<Resize&>(request).vbd->resized(error);
    };
    driver_->resize(resize_.size_sectors, resize_);
}

void Vbd::resized(std::error_code error) {
    const std::string name = image_.format + ":" + image_.path;
    if (error) {
        log::warning("image.resize", {{"image", name}, {"reason", error.message()}});
    } else {
        info_.size_sectors = resize_.size_sectors;
        if (connection_) connection_->engine().set_size(info_.size_sectors);
        log::info("image.resize", {{"image", name}, {"sectors", std::to_string(info_.size_sectors)}});
    }
    std::exchange(resize_.done, nullptr)(error);
}

void Vbd::close(Done done) {
    require(state_ != State::closed, "no image is open");
    if (connection_) {
        give_up_waiting();
        connection_->engine().close();
    }
    begin(Ending::close, std::move(done));
}

/// The end of a connection fails what waits; the operator is told how much that is.
void Vbd::give_up_waiting() {
    const RequestEngine& engine = connection_->engine();
    const std::size_t parked = engine.parked_count();
    const std::size_t held = engine.held_flush_count();
    if (parked + held == 0) return;
    log::error("ring.gave_up", {{"domain", std::to_string(connection_->frontend().domain)},
                                {"image", image_.path},
                                {"waited_for_storage", std::to_string(parked)},
                                {"held_flushes", std::to_string(held)},
                                {"state", "answered with an error; what they wrote is not on the disk"}});
}

void Vbd::shut_down(Done done) {
    if (connection_) connection_->engine().stop_taking();
    if (ending_ != Ending::none) {
        shut_down_next_ = std::move(done);
    } else {
        begin(Ending::shut_down, std::move(done));
    }
}

void Vbd::begin(Ending ending, Done done) {
    ending_ = ending;
    ending_done_ = std::move(done);
}

bool Vbd::ended() const noexcept {
    if (finishing_) return false;                     // the last step is under way and ends it
    if (space_.busy() || resize_.done) return false;  // both use the open image
    if (!connection_) return true;
    if (drain_timer_.armed()) return false;
    const bool all_answered = ending_ == Ending::disconnect || ending_ == Ending::close;
    return all_answered ? connection_->engine().idle() : connection_->engine().quiet();
}

void Vbd::finish_ending() {
    finishing_ = true;
    switch (ending_) {
        case Ending::none:
            return;
        case Ending::disconnect:
            drop_connection();
            return over({});
        case Ending::pause:
            return flush_and_close([this](std::error_code error) {
                state_ = State::paused;
                log::info("image.pause", {{"image", image_.format + ":" + image_.path}});
                over(error);
            });
        case Ending::close:
        case Ending::shut_down:
            if (ending_ == Ending::close) drop_connection();
            if (connection_) connection_->engine().pause();
            return flush_and_close([this](std::error_code error) {
                drop_connection();
                if (!recorder_) return closed(error);
                recording_over_ = [this, error] { closed(error); };
                if (!recorder_->stopping()) stop_recorder([](std::error_code) {});
            });
    }
}

void Vbd::closed(std::error_code error) {
    if (state_ != State::closed) log::info("image.close", {{"image", image_.format + ":" + image_.path}});
    state_ = State::closed;
    files_.reset();
    flush_failed_ = false;
    writes_refused_ = false;
    image_cut_ = false;
    over(error);
}

void Vbd::over(std::error_code error) {
    ending_ = Ending::none;
    finishing_ = false;
    std::exchange(ending_done_, nullptr)(error);
    if (shut_down_next_) {
        begin(Ending::shut_down, std::exchange(shut_down_next_, nullptr));
    } else if (std::exchange(hang_up_next_, false)) {
        hang_up();
    }
}

void Vbd::drop_connection() {
    if (!connection_) return;
    const RequestEngine& engine = connection_->engine();
    if (engine.in_flight() > 0) {
        log::warning("ring.unanswered", {{"requests", std::to_string(engine.in_flight())}, {"kept", "recovery log"}});
    }
    flush_failed_ = flush_failed_ || engine.flush_failed();
    writes_refused_ = writes_refused_ || engine.writes_refused();
    image_cut_ = image_cut_ || engine.image_cut();
    log::info("ring.disconnect", {{"domain", std::to_string(connection_->frontend().domain)},
                                  {"requests", std::to_string(engine.taken())}});
    connection_.reset();
}

void Vbd::flush_and_close(Done done) {
    flush_done_ = std::move(done);
    flush_result_.reset();
    if (!driver_ || info_.read_only) {
        flush_result_ = std::error_code{};
        return;
    }
    final_flush_.kind = ImageRequest::Kind::flush;
    final_flush_.range = {};
    final_flush_.data = {};
    final_flush_.on_complete = [](ImageRequest& request, std::error_code error) noexcept {
        // No more than a note: this runs inside the driver, and inside the engine's turn.
        static_cast<FinalFlush&>(request).vbd->flush_result_ = error;
    };
    driver_->start(final_flush_);
}

void Vbd::close_flushed_image() {
    const std::error_code error = *std::exchange(flush_result_, std::nullopt);
    // A lack of space is no loss, here as in the engine: the next flush covers what this one did not.
    if (error && !storage_full(error)) {
        flush_failed_ = true;
        if (connection_) connection_->engine().set_flush_failed();
    }
    if (error) {
        log::error("image.flush", {{"image", image_.path}, {"reason", error.message()}});
    }
    if (connection_ && driver_) connection_->engine().clear_image();
    driver_.reset();
    std::exchange(flush_done_, nullptr)(error);
}

void Vbd::start_recording(UniqueFd file) {
    require(state_ != State::closed, "no image is open");
    require(!recorder_, "a recording is under way");
    ring::TraceHeader header;
    header.size_sectors = info_.size_sectors;
    if (connection_) {
        header.queue_count = static_cast<unsigned>(connection_->frontend().queues.size());
        header.protocol = connection_->frontend().protocol;
        header.persistent = connection_->frontend().persistent;
    }
    recorder_ = std::make_unique<TraceRecorder>(loop_, workers_, std::move(file), header);
    if (connection_) connection_->engine().set_recorder(recorder_.get());
}

void Vbd::stop_recording(Done done) {
    if (!recorder_ || recorder_->stopping()) throw_error(Errc::wrong_state, "nothing is being recorded");
    stop_recorder(std::move(done));
}

void Vbd::stop_recorder(Done done) {
    if (connection_) connection_->engine().set_recorder(nullptr);
    recorder_->stop([this, done = std::move(done)](std::error_code error) {
        recorder_.reset();
        done(error);
        if (recording_over_) std::exchange(recording_over_, nullptr)();
    });
}

ipc::DeviceDescription Vbd::describe() const {
    if (state_ == State::closed) throw_error(Errc::wrong_state, "no image is open");
    ipc::DeviceDescription device;
    device.size_sectors = info_.size_sectors;
    device.read_only = info_.read_only;
    device.physical_sector_size_bytes = info_.physical_sector_size_bytes;
    device.discard = info_.discard && (!connection_ || connection_->frontend().discard_enabled);
    device.discard_granularity_bytes = info_.discard_granularity_bytes;
    device.discard_alignment_bytes = info_.discard_alignment_bytes;
    device.indirect_segments_max = ring::segments_indirect_max;
    return device;
}

}  // namespace blktap
