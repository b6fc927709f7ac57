// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "control/tapback/xenbus/frontend_link.hpp"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>
#include <utility>

#include "control/tapback/session/tapdisk_process.hpp"
#include "control/tapback/system/guest_width.hpp"
#include "control/tapback/xenbus/frontend_keys.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::tapback {
namespace {

/// Returns the version of a recovery log (docs/formats/recovery-log.md); 0: there is none, or no tapdisk has finished
/// its layout, and so none has taken a request.
std::uint32_t version_of(const std::string& path) {
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::uint32_t version = 0;
    constexpr off_t version_offset = 8;
    if (!file || ::pread(file.get(), &version, sizeof version, version_offset) != sizeof version) return 0;
    return version;
}

/// A log of this version lacks what a successor must know of the storage.
constexpr std::uint32_t log_version_lacking = 1;
constexpr std::uint32_t log_version_present = 2;

/// Whether the process, or the connection to it, is gone: its hook reports which, and what happens to the rings.
bool is_no_answer(const ipc::Reply& reply) {
    return ipc::error_code_named(reply.error_code) == Errc::peer_closed;
}

/// It is the host's fault, and is tried again.
std::string not_recorded(const std::string& reason) {
    return "the frontend waits, because its rings cannot be recorded: " + reason;
}

/// It is xenstored's: a quota, its memory, or others' transactions.
std::string not_read(const std::string& reason) {
    return "the frontend waits, because its nodes cannot be read: " + reason;
}

}  // namespace

FrontendLink::FrontendLink(Places places, const ipc::VbdAddress& disk, const BackendDirectory& directory,
                           DiskSession& session, Hooks hooks)
    : places_(std::move(places)), disk_(disk), directory_(directory), session_(session), hooks_(std::move(hooks)) {}

FrontendLink::~FrontendLink() = default;

// Its nodes.

bool FrontendLink::follow(const std::string& path) {
    if (!path.starts_with("/local/domain/" + std::to_string(disk_.domain) + "/device/")) {
        path_.clear();
        return false;
    }
    const std::string state = path + "/state";
    if (watched_ != state) {
        unfollow();
        places_.store.require().watch(state, directory_.path());
        watched_ = state;
    }
    path_ = path;
    return true;
}

void FrontendLink::unfollow() {
    if (!watched_.empty()) places_.store.require().unwatch(watched_, directory_.path());
    watched_.clear();
}

Xenbus FrontendLink::read_state(const StoreNodes& nodes) const {
    return path_.empty() ? Xenbus::unknown : parse_frontend_state(nodes.read(path_ + "/state"));
}

void FrontendLink::see(Xenbus frontend) noexcept {
    Situation left;
    left.frontend = frontend;
    left.refused = refused_;
    left.abandoned = abandoned_;
    forget_left_behind(left);
    refused_ = left.refused;
    abandoned_ = left.abandoned;
}

void forget_left_behind(Situation& now) noexcept {
    if (is_starting(now.frontend) || is_gone(now.frontend)) now.refused = false;
    if (is_starting(now.frontend)) now.abandoned = false;  // the frontend has forgotten its requests
}

/// Reads the frontend's nodes about its rings, and the toolstack's about the disk.
/// Errors: throws std::system_error (Errc::bad_message: the frontend's).
ipc::ConnectArguments FrontendLink::keys(const StoreNodes& nodes) const {
    ipc::ConnectArguments arguments =
        read_frontend([&](const std::string& name) { return nodes.read(path_ + '/' + name); },
                      [&](const std::string& name) { return nodes.read(directory_.node(name.c_str())); },
                      [this] { return guest_protocol(disk_.domain); });
    arguments.domain = disk_.domain;
    arguments.discard_enabled = nodes.read(directory_.node("discard-enable")) != "0";
    arguments.direct_io_safe = nodes.read(directory_.node("direct-io-safe")) == "1";
    return arguments;
}

/// Returns keys() at a moment at which the nodes ask to be connected; nullopt if they do not any more. Errors: as
/// keys().
std::optional<ipc::ConnectArguments> FrontendLink::keys_if(const Asked& asked) const {
    std::optional<ipc::ConnectArguments> arguments;
    std::optional<std::system_error> nonsense;
    const bool there = directory_.transact([&](const StoreTransaction& nodes) {
        arguments.reset();
        nonsense.reset();
        if (!asked(nodes)) return;
        try {
            arguments = keys(nodes);
        } catch (const std::system_error& error) {
            if (error.code() != Errc::bad_message) throw;
            nonsense = error;  // counts only if the transaction commits
        }
    });
    if (!there) return std::nullopt;
    if (nonsense) throw std::system_error(*nonsense);
    return arguments;
}

/// Returns the keys of rings that an earlier tapback connected. Errors: as keys(); ENOENT: the nodes may be another
/// disk's by now.
ipc::ConnectArguments FrontendLink::abandoned_keys() const {
    std::optional<ipc::ConnectArguments> found;
    directory_.transact([&](const StoreTransaction& nodes) { found = keys(nodes); });
    if (found) return *found;
    throw_error(std::make_error_code(std::errc::no_such_file_or_directory), directory_.path());
}

/// Whether the keys name other rings than the connected ones: the frontend closed, started again and published new
/// rings between two looks. False if the keys are invalid.
bool FrontendLink::has_new_rings(Xenbus frontend) const {
    if (!rings_ || !is_ready(frontend)) return false;
    try {
        ipc::ConnectArguments named = keys(places_.store.require());
        // The toolstack's setting, which counts only at the time of connecting.
        named.discard_enabled = rings_->discard_enabled;
        named.direct_io_safe = rings_->direct_io_safe;
        return named != *rings_;
    } catch (const std::system_error& error) {
        if (error.code() != Errc::bad_message) throw;
        return false;
    }
}

// The rings.

void FrontendLink::set(State state) {
    state_ = state;
    hooks_.changed();
}

void FrontendLink::restore(const std::optional<ipc::ConnectArguments>& rings) {
    rings_ = rings;
    suspect();
}

void FrontendLink::found(bool connected) {
    if (!connected) rings_.reset();
    set(connected ? State::up : State::none);
}

void FrontendLink::tapdisk_ended(DiskSession::End how, bool domain_died) {
    ended_idle_ = state_ == State::none && !rings_;
    io_is_over_ = false;
    switch (how) {
        case DiskSession::End::was_away:
            abandoned_ = has_recovery_log();
            break;
        case DiskSession::End::revives:
            abandoned_ = false;  // the next tapdisk answers
            break;
        case DiskSession::End::asked:
        case DiskSession::End::held:
            abandoned_ = !domain_died && (rings_ || !ended_idle_);
            break;
    }
    if (how == DiskSession::End::asked) remove_recovery_log();
    renewed_ = false;
    set(State::none);
}

bool FrontendLink::connect(const Asked& asked) {
    std::optional<ipc::ConnectArguments> arguments;
    const auto before = rings_;
    try {
        arguments = keys_if(asked);
        if (!arguments) return false;
        // The tapdisk empties the file, once no other ring of it uses the file.
        recovery_log_.reset(::open(places_.recovery_log.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        if (!recovery_log_) throw_system_error(places_.recovery_log);
        rings_ = arguments;
        hooks_.write_record();
    } catch (const std::system_error& error) {
        rings_ = before;
        if (!places_.store.store() || !places_.store.store()->answers()) throw;
        refused_ = !arguments && error.code() == Errc::bad_message;
        waits_ = !refused_;
        hooks_.problem(refused_ ? error.what() : arguments ? not_recorded(error.what()) : not_read(error.what()));
        refused_ ? hooks_.changed() : hooks_.changed_later();
        return true;
    }
    abandoned_ = false;
    published_ = false;
    set(State::busy);
    session_.call(ipc::Connect{*arguments}, {recovery_log_.get()},
                  [this](const ipc::Reply& reply) { connected(reply); });
    return true;
}

void FrontendLink::connected(const ipc::Reply& reply) {
    if (is_no_answer(reply)) return;
    state_ = reply.error_code.empty() ? State::up : State::none;
    const std::error_code code = ipc::error_code_named(reply.error_code);
    // Another operation is under way, which is not the frontend's fault: for example a pause that was not answered.
    if (code == Errc::wrong_state)
        return session_.pausing().look([this](const ipc::Reply&) { hooks_.changed_later(); });
    waits_ = code == std::errc::no_space_on_device;
    refused_ = !reply.error_code.empty() && !waits_;
    if (state_ == State::up) {
        hooks_.problem("");
        session_.described(reply.result.get<ipc::DeviceDescription>());
    } else {
        rings_.reset();
        hooks_.problem(waits_ ? not_recorded(reply.error_message)
                              : "the frontend cannot be served: " + reply.error_message);
    }
    waits_ ? hooks_.changed_later() : hooks_.changed();
}

bool FrontendLink::can_be_adopted() const {
    if (has_unknown_rings()) return false;
    return !rings_ || version_of(places_.recovery_log) != log_version_lacking;
}

unsigned FrontendLink::log_version() const {
    const std::uint32_t version = rings_ ? version_of(places_.recovery_log) : 0;
    return version == 0 ? log_version_present : version;
}

/// Whether the frontend has forgotten the requests of the rings, or never could send any: it waits for Connected.
bool FrontendLink::has_begun_anew() const {
    if (!places_.store.store()) return false;
    const Xenbus frontend = read_state(*places_.store.store());
    const Xenbus backend = parse_frontend_state(directory_.read("state"));
    // One that closed by itself has let go of its rings' memory.
    if (frontend == Xenbus::closed && backend != Xenbus::unknown && directory_.read("online") != "0") return true;
    // Without the directory the disk is being taken away, and the frontend may wait for answers.
    const bool was_not_told = backend != Xenbus::unknown && backend < Xenbus::connected;
    return is_starting(frontend) || (is_ready(frontend) && was_not_told) || has_new_rings(frontend);
}

bool FrontendLink::adopt(const DiskSession::Done& done) {
    try {
        if (rings_ && has_begun_anew()) rings_.reset();
    } catch (const std::system_error& error) {
        log::info("vbd.frontend", {{"vbd", disk_.name()}, {"reason", error.what()}, {"state", "taken as it was"}});
    }
    if (!rings_) {
        state_ = State::none;
        return false;
    }
    recovery_log_.reset(::open(places_.recovery_log.c_str(), O_RDWR | O_CLOEXEC));
    if (!recovery_log_) {
        done(error_reply({errno, std::generic_category()}, places_.recovery_log));
        return true;
    }
    session_.call(ipc::Adopt{*rings_}, {recovery_log_.get()},
                  [this, done](const ipc::Reply& reply) { adopted(reply, done); });
    return true;
}

void FrontendLink::adopted(const ipc::Reply& reply, const DiskSession::Done& done) {
    if (reply.error_code.empty()) {
        state_ = State::up;
        published_ = false;  // the guest may not have been told of a new size
    }
    done(reply);
}

void FrontendLink::disconnect(ipc::RingsLeft rings) {
    set(State::busy);
    session_.call(ipc::Disconnect{rings}, {}, [this, rings](const ipc::Reply& reply) {
        if (is_no_answer(reply)) return;
        // A tapdisk of an earlier version, which leaves every ring as it is.
        const bool unknown = reply.error_code == ipc::error_code_name(Errc::bad_message);
        if (unknown && rings != ipc::RingsLeft::untouched) return disconnect(ipc::RingsLeft::untouched);
        // Either no ring was connected, or another operation is under way and the rings are still mapped.
        if (ipc::error_code_named(reply.error_code) == Errc::wrong_state) return ask();
        disconnected();
    });
}

void FrontendLink::ask() {
    session_.call(ipc::Stats{}, {}, [this](const ipc::Reply& stats) {
        if (is_no_answer(stats)) return;
        const bool connected = stats.error_code.empty() && ipc::disk_state(stats.result).connected;
        if (!connected) return disconnected();
        state_ = State::up;
        hooks_.changed_later();
    });
}

void FrontendLink::disconnected() {
    renewed_ = false;
    if (std::exchange(rings_, std::nullopt)) hooks_.try_to_record();
    log::info("vbd.disconnected", {{"vbd", disk_.name()}});
    set(State::none);
}

void FrontendLink::abandon() {
    if (!io_is_over_) {
        set(State::busy);
        return hooks_.when_io_is_over([this] {
            io_is_over_ = true;
            set(State::none);
        });
    }
    abandoned_ = false;
    const auto say = [this](const std::string& reason) {
        log::error("vbd.abandoned",
                   {{"vbd", disk_.name()}, {"reason", reason}, {"state", "what its guest has sent is not answered"}});
    };
    try {
        if (!rings_) rings_ = abandoned_keys();
        recovery_log_.reset(::open(places_.recovery_log.c_str(), O_RDONLY | O_CLOEXEC));
        if (!recovery_log_) throw_system_error(places_.recovery_log);
        const auto ended = [this] {
            ::unlink(session_.socket_path().c_str());
            disconnected();
        };
        answerer_ = places_.tapdisks.start(session_.socket_path(),
                                           {.open_file = [](const auto&) { return -1; }, .ended = ended});
    } catch (const std::system_error& error) {
        abandoned_ = !places_.store.store() || !places_.store.store()->answers();
        if (abandoned_) throw;
        say(error.what());
        return hooks_.changed();
    }
    set(State::busy);
    answerer_->call(ipc::Abandon{*rings_}, {recovery_log_.get()}, [this, say](const ipc::Reply& reply) {
        if (!reply.error_code.empty()) say(reply.error_message);
        answerer_->terminate();
    });
}

void FrontendLink::tidy() {
    if (state_ != State::busy) answerer_.reset();
    waits_ = false;
}

bool FrontendLink::has_recovery_log() const {
    return ::access(places_.recovery_log.c_str(), F_OK) == 0;
}

void FrontendLink::remove_recovery_log() {
    if (!abandoned_) ::unlink(places_.recovery_log.c_str());
    recovery_log_.reset();
}

void FrontendLink::put_into(Situation& now, bool is_unsure) const noexcept {
    now.link = is_unsure ? State::busy : state_;
    now.abandoned = abandoned_;
    now.renewed = renewed_;
    now.published = published_;
    now.refused = refused_;
    now.unrecorded = waits_;
}

}  // namespace blktap::tapback
