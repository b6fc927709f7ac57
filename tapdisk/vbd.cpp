// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "tapdisk/vbd.hpp"

#include <algorithm>
#include <utility>

#include "libblktap/base/log.hpp"
#include "tapdisk/vbd_stats.hpp"

namespace blktap {
namespace {

std::string peer_of(const ipc::ConnectArguments& frontend) {
    return frontend.local ? "local" : std::to_string(frontend.domain);
}

}  // namespace

Vbd::Vbd(EventLoop& loop, AioKernel& kernel, const Registry& drivers, const Options& options)
    : loop_(loop),
      options_(options),
      disk_(loop, kernel, drivers, options.disk),
      connections_(loop.clock(), disk_.io(), disk_.scheduler(), options.poll_max),
      logs_(loop, {.in_use = [this](const UniqueFd& file) { return connections_.keep_log_in(file); },
                   .complete = [this] { resume_now(); }}),
      idle_trim_(loop, disk_.scheduler(), connections_) {
    disk_.health().on_change([this] {
        for (const auto& connection : connections_.list())
            connection->client().keep(disk_.health().kept());
    });
}

Vbd::~Vbd() = default;

void Vbd::require(bool condition, const char* reason) const {
    if (!condition) throw_error(Errc::wrong_state, reason);
    if (ending_ != Ending::none) throw_error(Errc::wrong_state, "another operation is under way");
}

void Vbd::require_open(const char* while_paused) const {
    require(state() == State::open, state() == State::paused ? while_paused : "no image is open");
}

void Vbd::open(const ImageSpec& image, std::unique_ptr<ImageOpener> files, Opened opened) {
    require(state() == State::closed, "an image is open already");
    require(!opening(), "an image is being opened");
    disk_.open(image, std::move(files), std::move(opened));
}

std::vector<UniqueFd> Vbd::connect(const ipc::ConnectArguments& frontend, UniqueFd log_file, UniqueFd memory,
                                   Rings rings) {
    const bool adopts = rings == Rings::adopted;
    const bool by_program = adopts && !log_file;
    if (by_program) {
        // The program cannot know how far the controller is.
        if (state() == State::closed || disk_.opening() || ending_ != Ending::none)
            throw_error(std::make_error_code(std::errc::resource_unavailable_try_again), "adopt: not yet");
    } else if (adopts) {
        require(disk_.recovering() && !opening(), "rings are adopted only after \"recover\" and before \"resume\"");
    } else {
        require_open("the image is paused");
    }
    require(connections_.find(frontend.connection) == nullptr, "a frontend is connected already");
    require(connections_.list().size() < connections_max, "no more connections");
    const ImageInfo& info = disk_.info();
    Connection::Options options;
    options.frontend = frontend;
    options.rules = {info.size_sectors, info.read_only, info.discard && frontend.discard_enabled,
                     ring::segments_indirect_max};
    const bool given = log_file || by_program;
    options.log_file = by_program ? logs_.find(frontend) : choose_log(frontend, std::move(log_file));
    options.recoverable = given || logs_.has(options.log_file);
    options.memory = std::move(memory);
    options.adopt = adopts;
    Connection& connection =
        connections_.add(std::make_unique<Connection>(loop_, disk_.scheduler(), xen_handles_, std::move(options)));
    if (adopts && disk_.recovering()) {
        const StorageHealth::Kept kept = connection.client().kept();
        disk_.health().restore(kept);
        if ((kept.bits & StorageHealth::Kept::flush_late) != 0)
            log::error("flush.late", {{"image", image_name(disk_.image())}, {"state", "taken for failed"}});
    }
    connection.client().keep(disk_.health().kept());
    if (frontend.connection.empty()) connection.client().set_recorder(recorder_.get());
    log::info(adopts ? "ring.adopt" : "ring.connect",
              {{"domain", peer_of(frontend)},
               {"unanswered", std::to_string(connection.client().stats().adopted)},
               {"queues", std::to_string(frontend.queues.size())},
               {"ring_pages", std::to_string(frontend.queues.front().ring_refs.size())},
               {"protocol", frontend.protocol},
               {"persistent", frontend.persistent ? "yes" : "no"}});
    if (by_program) logs_.look();
    return connection.take_peer_descriptors();
}

/// Returns the file for the log of a new connection: `given`, or one of its own. Errors: throws std::system_error: it
/// is the file of another connection's log, which would be lost.
UniqueFd Vbd::choose_log(const ipc::ConnectArguments& frontend, UniqueFd given) {
    if (!given && frontend.local) given = logs_.file_for(frontend);
    if (given) {
        if (connections_.keep_log_in(given)) throw_error(Errc::wrong_state, "the recovery log is another connection's");
        return given;
    }
    UniqueFd made = options_.make_log_file();
    if (!connections_.keep_log_in(made)) return made;
    log::warning("ring.log", {{"state", "in memory that ends with the process: another connection has the file"}});
    return make_anonymous_log_file();
}

void Vbd::recover(const ImageSpec& image, std::unique_ptr<ImageOpener> files, const ipc::DeviceDescription& told,
                  std::vector<UniqueFd> logs) {
    require(state() == State::closed, "an image is open already");
    require(!opening(), "an image is being opened");
    ImageInfo info;
    info.size_sectors = told.size_sectors;
    info.read_only = told.read_only;
    info.physical_sector_size_bytes = told.physical_sector_size_bytes;
    info.discard = told.discard;
    info.discard_granularity_bytes = told.discard_granularity_bytes;
    info.discard_alignment_bytes = told.discard_alignment_bytes;
    disk_.recover(image, std::move(files), info);
    // A program need not come back for the next tapdisk to know what was wrong with the storage.
    for (const StorageHealth::Kept& kept : logs_.await(std::move(logs)))
        disk_.health().restore(kept);
}

void Vbd::disconnect(const std::string& name, ipc::RingsLeft rings, Done done) {
    Connection* const connection = connections_.find(name);
    require(connection != nullptr, "no frontend is connected");
    connections_.readmit_adopted();
    give_up_waiting(*connection);
    if (rings == ipc::RingsLeft::untouched) {
        connection->client().close();
    } else {
        drain_.emplace(loop_, connection->client(), rings == ipc::RingsLeft::failed);
    }
    leaving_ = connection;
    begin(Ending::disconnect, std::move(done));
}

void Vbd::hang_up(const std::string& name) {
    if (connections_.find(name) == nullptr) return;
    if (ending_ == Ending::none) return disconnect(name, ipc::RingsLeft::untouched, [](std::error_code) {});
    hang_up_next_.push_back(name);
}

void Vbd::pause(Done done) {
    require_open("the image is paused already");
    disk_.scheduler().pause();
    begin(Ending::pause, std::move(done));
}

void Vbd::resume(const std::optional<ImageSpec>& image, std::unique_ptr<ImageOpener> files, Opened opened) {
    require(state() == State::paused, "the image is not paused");
    require(!opening(), "an image is being opened");
    resuming_.emplace(Resuming{image, std::move(files), std::move(opened)});
    if (!disk_.recovering() || !logs_.wait()) resume_now();
}

void Vbd::resume_now() {
    Resuming next = std::move(*resuming_);
    resuming_.reset();
    connections_.readmit_adopted();
    if (disk_.recovering()) {
        next.opened = [this, opened = std::move(next.opened)](const std::system_error* error) {
            if (error == nullptr) {
                logs_.give_up();
                connections_.recovered(disk_.info().size_sectors);
            }
            opened(error);
        };
    }
    disk_.resume(next.image, std::move(next.files), std::move(next.opened));
}

void Vbd::cancel_opening() noexcept {
    if (!resuming_) return disk_.cancel_opening();
    logs_.stop_waiting();
    const Opened opened = std::move(resuming_->opened);
    resuming_.reset();
    const std::system_error error(std::make_error_code(std::errc::operation_canceled), "opening the image");
    opened(&error);
}

void Vbd::retry() {
    require(state() == State::open, "no image is open");
    disk_.retry();
}

void Vbd::accept_loss() {
    require(state() != State::closed, "no image is open");
    disk_.accept_loss();
}

void Vbd::resize(std::uint64_t size_bytes, Done done) {
    require_open("the image is paused");
    disk_.resize(size_bytes, [this, done = std::move(done)](std::error_code error) {
        for (const auto& connection : connections_.list())
            connection->client().set_size(disk_.info().size_sectors);
        done(error);
    });
}

void Vbd::close(Done done) {
    require(state() != State::closed || opening(), "no image is open");
    if (resuming_) cancel_opening();
    connections_.readmit_adopted();
    for (const auto& connection : connections_.list()) {
        give_up_waiting(*connection);
        connection->client().close();
    }
    begin(Ending::close, std::move(done));
}

/// Logs how many waiting requests the end of a connection fails.
void Vbd::give_up_waiting(const Connection& connection) const {
    const Parking::Stranded stranded = disk_.scheduler().parking().stranded(connection.client());
    if (stranded.parked + stranded.held_flushes == 0) return;
    log::error("ring.gave_up", {{"domain", peer_of(connection.frontend())},
                                {"image", disk_.image().path},
                                {"waited_for_storage", std::to_string(stranded.parked)},
                                {"held_flushes", std::to_string(stranded.held_flushes)},
                                {"state", "answered with an error; what they wrote is not on the disk"}});
}

void Vbd::shut_down(Done done) {
    if (resuming_) cancel_opening();
    connections_.readmit_adopted();
    for (const auto& connection : connections_.list())
        connection->client().stop_taking();
    if (ending_ != Ending::none) {
        shut_down_next_ = std::move(done);
    } else {
        begin(Ending::shut_down, std::move(done));
    }
}

EventLoop::Next Vbd::turn() noexcept {
    EventLoop::Next next = connections_.turn();
    idle_trim_.turn();
    if (disk_.look()) next = EventLoop::Next::turn_again;
    if (ending_ != Ending::none && ended()) {
        finish_ending();
        // Operations that finishing staged, such as a flush, need another turn.
        next = EventLoop::Next::turn_again;
    }
    return next;
}

void Vbd::begin(Ending ending, Done done) {
    ending_ = ending;
    ending_done_ = std::move(done);
}

bool Vbd::ended() const noexcept {
    if (finishing_) return false;  // the last step is under way and ends it
    if (ending_ == Ending::disconnect) return (!drain_ || drain_->over()) && leaving_->client().idle();
    if (!disk_.unused()) return false;
    const bool all_answered = ending_ == Ending::close;
    return connections_.quiet() && (!all_answered || connections_.in_flight() == 0);
}

void Vbd::finish_ending() {
    finishing_ = true;
    switch (ending_) {
        case Ending::none:
            return;
        case Ending::disconnect:
            drain_.reset();
            drop(*std::exchange(leaving_, nullptr));
            logs_.look();
            return over({});
        case Ending::pause:
            return disk_.flush_and_close([this](std::error_code error) {
                disk_.become_paused();
                log::info("image.pause", {{"image", image_name(disk_.image())}});
                over(error);
            });
        case Ending::close:
            drop_all();
            logs_.give_up();
            logs_.look();
            return disk_.flush_and_close([this](std::error_code error) { finish_closing(error); });
        case Ending::shut_down:
            return disk_.flush_and_close([this](std::error_code error) { finish_closing(error); });
    }
}

void Vbd::finish_closing(std::error_code error) {
    drop_all();
    const auto closed = [this, error] {
        disk_.become_closed();
        over(error);
    };
    if (!recorder_) return closed();
    recording_over_ = closed;
    if (!recorder_->stopping()) stop_recorder([](std::error_code) {});
}

void Vbd::over(std::error_code error) {
    ending_ = Ending::none;
    finishing_ = false;
    std::exchange(ending_done_, nullptr)(error);
    if (shut_down_next_) {
        begin(Ending::shut_down, std::exchange(shut_down_next_, nullptr));
    }
    while (ending_ == Ending::none && !hang_up_next_.empty()) {
        const std::string name = std::move(hang_up_next_.front());
        hang_up_next_.pop_front();
        hang_up(name);
    }
}

void Vbd::drop(const Connection& connection) {
    const std::size_t unanswered = connection.client().unfinished();
    if (unanswered > 0) {
        log::warning("ring.unanswered", {{"requests", std::to_string(unanswered)}, {"kept", "recovery log"}});
    }
    log::info("ring.disconnect", {{"domain", peer_of(connection.frontend())},
                                  {"requests", std::to_string(connection.client().stats().taken)}});
    // Another connection may get the same name soon.
    std::erase(hang_up_next_, connection.frontend().connection);
    connections_.remove(connection);
}

void Vbd::drop_all() {
    while (!connections_.empty())
        drop(*connections_.list().back());
}

void Vbd::start_recording(UniqueFd file) {
    require(state() != State::closed, "no image is open");
    require(!recorder_, "a recording is under way");
    ring::TraceHeader header;
    header.size_sectors = disk_.info().size_sectors;
    Connection* const guest = connections_.find({});
    if (guest != nullptr) {
        header.queue_count = static_cast<unsigned>(guest->frontend().queues.size());
        header.protocol = guest->frontend().protocol;
        header.persistent = guest->frontend().persistent;
    }
    recorder_ = std::make_unique<TraceRecorder>(loop_, disk_.workers(), std::move(file), header);
    if (guest != nullptr) guest->client().set_recorder(recorder_.get());
}

void Vbd::stop_recording(Done done) {
    if (!recorder_ || recorder_->stopping()) throw_error(Errc::wrong_state, "nothing is being recorded");
    stop_recorder(std::move(done));
}

void Vbd::stop_recorder(Done done) {
    if (Connection* const guest = connections_.find({})) guest->client().set_recorder(nullptr);
    recorder_->stop([this, done = std::move(done)](std::error_code error) {
        recorder_.reset();
        done(error);
        if (recording_over_) std::exchange(recording_over_, nullptr)();
    });
}

ipc::DeviceDescription Vbd::describe(std::string_view connection) const {
    if (state() == State::closed) throw_error(Errc::wrong_state, "no image is open");
    const ImageInfo& info = disk_.info();
    ipc::DeviceDescription device;
    device.size_sectors = info.size_sectors;
    device.read_only = info.read_only;
    device.physical_sector_size_bytes = info.physical_sector_size_bytes;
    const Connection* const frontend = connections_.find(connection);
    device.discard = info.discard && (frontend == nullptr || frontend->frontend().discard_enabled);
    device.discard_granularity_bytes = info.discard_granularity_bytes;
    device.discard_alignment_bytes = info.discard_alignment_bytes;
    device.indirect_segments_max = ring::segments_indirect_max;
    return device;
}

ipc::Json Vbd::stats() const {
    ipc::Json json = disk_stats(disk_);
    json["connected"] = connected();
    if (state() != State::closed) json["image"]["device"] = describe();
    if (const Connection* const guest = connections_.find({}))
        json["connection"] = connection_stats(*guest, connections_, disk_);
    json["connections"] = ipc::Json::array();
    for (const auto& connection : connections_.list())
        json["connections"].push_back(connection_stats(*connection, connections_, disk_));
    json["local-rings"] = logs_.stats();
    if (recorder_) json["recording"] = {{"recorded", recorder_->recorded()}, {"lost", recorder_->lost()}};
    return json;
}

}  // namespace blktap
