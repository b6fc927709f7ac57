// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Vbd's tapdisk: started, what it is asked, and its end.
#include <unistd.h>

#include "control/tapback/vbd.hpp"
#include "libblktap/base/log.hpp"

namespace blktap::tapback {
namespace {

using Tapdisk = Situation::Tapdisk;
using Link = Situation::Link;

/// As long as a disk that is being taken away waits for its tapdisk to give back the rings, before it is ended: longer
/// than storage is slow, and toolstacks wait 10 seconds.
constexpr Nanoseconds disconnect_patience = std::chrono::seconds(30);

}  // namespace

TapdiskProcess::Hooks Vbd::hooks() {
    return {.open_file =
                [this](const ipc::OpenFileArguments& wanted) {
                    if (!image_) throw_error(Errc::wrong_state, wanted.path + ": no image was asked for");
                    return host_.files.open(address_.name(), ipc::open_arguments(*image_, true), wanted);
                },
            .ended = [this] { tapdisk_ended(); },
            .problems = [this](const ipc::Problems& problems) { told_problems(problems); },
            .lost = [this](const std::string& reason) { lost_tapdisk(reason); }};
}

void Vbd::pair(const VbdTap& tap, const std::string& socket, std::unique_ptr<TapdiskProcess>& process) {
    tap_ = tap;
    socket_ = socket;
    process_ = process->id();
    try {
        write_record(host_.options.run_directory, record(tap.image));
    } catch (const std::system_error&) {
        tap_.reset();
        socket_.clear();
        process_.reset();
        throw;
    }
    image_ = tap.image;
    problem_.clear();
    tapdisk_ = std::move(process);
    tapdisk_->set_hooks(hooks());
    log::info("vbd.paired", {{"vbd", address_.name()}, {"pid", std::to_string(tapdisk_->pid())}});
    ask_tapdisk();
}

void Vbd::share(const VbdTap& tap) {
    tap_ = tap;
    try {
        start_tapdisk(tap.image);
    } catch (const std::system_error&) {
        tap_.reset();
        throw;
    }
    open_image([](const ipc::Reply&) {});
}

void Vbd::report(const std::string& problem) {
    if (problem == problem_) return;
    set_problem(problem);
    host_.mark(address_);
}

bool Vbd::wants_tap() const noexcept {
    return address_.kind == ipc::VbdAddress::Kind::vbd3 && !plugged_ && !released_ && !image_ && !tapdisk_ &&
           now_.owned && now_.online && now_.backend < Xenbus::closing;
}

/// block-tap knows nothing of a tapback that was killed in the middle: what was never connected can begin again.
bool Vbd::may_start_anew() const {
    return tap_ && image_ && !released_ && !started_anew_ && ::access(file(".recovery").c_str(), F_OK) != 0;
}

void Vbd::open_again() {
    started_anew_ = true;
    try {
        socket_.clear();  // the one that ended may still be about to remove its own
        start_tapdisk(image_.value());
        open_image([](const ipc::Reply&) {});
    } catch (const std::system_error& error) {
        set_problem(error.what());
    }
}

// An image.

VbdRecord Vbd::record(const ipc::ImageArguments& image) const {
    VbdRecord record{address_, image, plugged_};
    record.life = directory_.life();
    record.process = process_;
    record.socket = socket_;
    record.rings = rings_;
    if (tap_) record.tap = tap_->name;
    return record;
}

std::string Vbd::socket_path() const {
    return socket_.empty() ? file(".sock") : host_.options.run_directory + '/' + socket_;
}

void Vbd::start_tapdisk(const ipc::ImageArguments& image) {
    image_ = image;
    problem_.clear();
    process_.reset();
    try {
        write_record(host_.options.run_directory, record(image));
        tapdisk_ = TapdiskProcess::spawn(host_.loop, tapdisk_command(host_.options), socket_path(), hooks());
    } catch (const std::system_error&) {
        image_.reset();
        remove_record(host_.options.run_directory, address_);
        throw;
    }
    process_ = tapdisk_->id();
    try_to_record();  // without its process the next tapback asks who listens on the socket
}

void Vbd::open_image(Done done) {
    now_.tapdisk = Tapdisk::starting;
    tapdisk_->call(ipc::Open{ipc::open_arguments(image_.value(), true)}, {},
                   [this, done = std::move(done)](const ipc::Reply& reply) { opened(reply, done); });
    host_.mark(address_);
}

/// Who may write is the disk's own `mode`, whoever names the image; and what its guest was told to be read-only stays
/// so.
ipc::ImageArguments Vbd::as_mode_allows(ipc::ImageArguments image) const {
    const auto mode = host_.session.store() ? directory_.read("mode") : std::nullopt;
    if (image_) image.read_only = image.read_only || image_->read_only;
    // Without xenstore a disk that is served goes on as it is.
    if (mode || !image_) image.read_only = image.read_only || ipc::is_read_only_mode(mode);
    return image;
}

void Vbd::attach(const ipc::ImageArguments& image, const std::string& life, Done done) {
    const bool has_tapdisk = tapdisk_ && !tapdisk_gone_;
    if ((image_ && !may_be_replaced()) || has_tapdisk || released_)
        throw_error(Errc::wrong_state, address_.name() + ": an image is open already");
    if (directory_.life().empty()) has_directory();
    if (!now_.owned) throw_error(Errc::wrong_state, address_.name() + ": not claimed");
    if (!life.empty() && life != directory_.life()) {
        throw_error(Errc::wrong_state,
                    directory_.path() + ": removed, and made anew for another disk, while the disk was being added");
    }
    if (image_) forget_image();
    tapdisk_.reset();
    tapdisk_gone_ = start_anew_ = false;
    start_tapdisk(as_mode_allows(image));
    open_image(std::move(done));
}

void Vbd::opened(const ipc::Reply& reply, const Done& done) {
    host_.mark(address_);
    if (!reply.error_code.empty()) {
        // Its end follows, and is looked at there.
        if (reply.error_code == ipc::error_code_name(Errc::peer_closed) && may_start_anew()) return;
        set_problem(reply.error_message);
        // A retry finds no trace of this one.
        when_ended_.emplace_back([done, code = ipc::error_code_named(reply.error_code), message = reply.error_message] {
            done(error_reply(code, message));
        });
        return end_tapdisk();
    }
    if (now_.tapdisk == Tapdisk::starting) now_.tapdisk = Tapdisk::open;
    forget_hotplug_error();
    description_ = reply.result.get<ipc::DeviceDescription>();
    watch_problems();
    log::info("vbd.attached", {{"vbd", address_.name()},
                               {"image", image_->format + ":" + image_->path},
                               {"pid", std::to_string(tapdisk_->pid())}});
    ipc::Reply result;
    result.result = reply.result;
    done(result);
}

void Vbd::end_tapdisk() {
    now_.tapdisk = Tapdisk::ending;
    find_timer_.disarm();
    give_up_timer_.disarm();
    tapdisk_->terminate();
}

/// A tapdisk that does not give the rings back, or cannot be asked to, must not keep a disk that is being taken away.
void Vbd::watch_ending() {
    const bool ends = !now_.owned || !now_.online;
    const bool waits = tapdisk_ && !tapdisk_gone_ && now_.link == Link::busy && now_.tapdisk != Tapdisk::ending;
    if (!ends || !waits) return give_up_timer_.disarm();
    if (!tapdisk_->is_connected()) {
        if (confirmed(Step::none) && (!now_.owned || !now_.online)) end_tapdisk();
        return;
    }
    if (!give_up_timer_.armed()) give_up_timer_.arm(disconnect_patience);
}

void Vbd::give_up_asking() {
    if (!tapdisk_ || tapdisk_gone_ || now_.tapdisk == Tapdisk::ending || now_.link != Link::busy) return;
    set_problem("its tapdisk, process " + std::to_string(tapdisk_->pid()) + ", does not answer, and is ended");
    end_tapdisk();
}

/// What a tapdisk that has ended was to serve.
void Vbd::forget_image() {
    image_.reset();
    next_.reset();
    process_.reset();
    remove_record(host_.options.run_directory, address_);
    if (!now_.abandoned) ::unlink(file(".recovery").c_str());
    recovery_log_.reset();
    host_.files.forget(address_.name());
}

/// Nobody's requests wait for the image of a tapdisk that died: no guest was connected.
bool Vbd::may_be_replaced() const {
    const bool died = (!tapdisk_ || tapdisk_gone_) && now_.tapdisk == Tapdisk::none;
    return died && !plugged_ && (died_idle_ || ::access(file(".recovery").c_str(), F_OK) != 0);
}

void Vbd::tapdisk_ended() {
    const bool expected = now_.tapdisk == Tapdisk::ending;
    now_.abandoned = !domain_dead_ && (rings_ || now_.link != Link::none);
    if (expected) {
        forget_image();
    } else if (may_start_anew()) {
        start_anew_ = true;
        now_.abandoned = false;  // no guest has ever been connected
        host_.files.release(address_.name());
    } else {
        set_problem("its tapdisk " + tapdisk_->end_reason());
        log::error("tapdisk.died", {{"vbd", address_.name()},
                                    {"pid", std::to_string(tapdisk_->pid())},
                                    {"reason", tapdisk_->end_reason()},
                                    {"state", "the disk is held"}});
    }
    ::unlink(socket_path().c_str());
    died_idle_ = now_.link == Link::none;
    now_.tapdisk = Tapdisk::none;
    now_.link = Link::none;
    now_.paused = false;
    unreachable_ = is_finding_ = false;
    find_timer_.disarm();
    description_.reset();
    forget_problems();
    tapdisk_gone_ = true;
    for (const auto& call : std::exchange(when_ended_, {}))
        call();
    host_.mark(address_);
}

TapdiskProcess& Vbd::require_tapdisk() const {
    if (!tapdisk_ || tapdisk_gone_) throw_error(Errc::wrong_state, address_.name() + ": no image is open");
    return *tapdisk_;
}

void Vbd::pause(Done done) {
    const bool before = std::exchange(now_.paused, true);  // a frontend that comes now waits
    try {
        call_tapdisk(ipc::Pause{}, {}, [this, before, done = std::move(done)](const ipc::Reply& reply) {
            // Any other error is that of the last flush: the image is paused all the same.
            const std::error_code error = ipc::error_code_named(reply.error_code);
            const bool refused = error == Errc::wrong_state || error == Errc::peer_closed;
            if (refused) now_.paused = before;
            // Kept, the file would be served again instead of what its path names by then.
            if (!refused) host_.files.release(address_.name());
            host_.mark(address_);
            done(reply);
        });
    } catch (const std::system_error&) {
        now_.paused = before;
        throw;
    }
}

void Vbd::resume(const ipc::VbdResume& arguments, Done done) {
    if (!image_) throw_error(Errc::wrong_state, address_.name() + ": no image is open");
    ipc::Resume request;
    request.accept_loss = arguments.accept_loss;
    const auto before = image_;
    // Named also when it is the same: the one who opened it first may have been another tapback.
    if (arguments.image || now_.paused) {
        const ipc::ImageArguments next = as_mode_allows(arguments.image.value_or(*image_));
        // Whoever comes after this tapback must know of both.
        if (next != image_) {
            VbdRecord both = record(*image_);
            both.next = next;
            write_record(host_.options.run_directory, both);
        }
        image_ = next;  // its files are asked for before the reply comes
        request.image = ipc::open_arguments(next, true);
    }
    try {
        call_tapdisk(request, {}, [this, before, done = std::move(done)](const ipc::Reply& reply) {
            now_.paused = now_.paused && !reply.error_code.empty();
            host_.mark(address_);
            const bool changed = image_ != before;
            if (!reply.error_code.empty()) {
                image_ = before;
                // What was refused must not stay locked, nor be served when its path names another file by then.
                if (now_.paused) host_.files.release(address_.name());
            }
            if (changed) try_to_record();
            done(reply);
        });
    } catch (const std::system_error&) {
        if (image_ != before) {
            image_ = before;
            try_to_record();
        }
        throw;
    }
}

/// The record names both images until then, which the next tapback can live with.
void Vbd::try_to_record() noexcept {
    try {
        write_record(host_.options.run_directory, record(image_.value()));
    } catch (const std::exception& error) {
        log::error("record", {{"vbd", address_.name()}, {"reason", error.what()}});
    }
}

}  // namespace blktap::tapback
